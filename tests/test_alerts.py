"""The alerting rules name metrics and labels that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.unit

_ROOT = Path(__file__).resolve().parent.parent
_FILE = _ROOT / "docs" / "reference" / "alerts.rules"
_RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(_FILE.read_text())["groups"] for rule in group["rules"]
]


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    source = "".join(path.read_text() for path in (_ROOT / "src").rglob("*.py"))
    named = re.findall(r"\b(monopod_\w+)", rule["expr"])
    assert named or "etcd_" in rule["expr"]
    for metric in named:
        assert f'"{metric}"' in source, metric
    assert rule["annotations"]["summary"]


def test_the_page_of_operations_refers_to_the_file() -> None:
    assert "reference/alerts.rules" in (_ROOT / "docs" / "how-to" / "operations.md").read_text()
