"""The page of metrics is what the processes register."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring import documents

pytestmark = [pytest.mark.unit, pytest.mark.row("S15")]

_COMMON = "Of every controller"
_MODULES = {
    "certificates": "monopod.controlplane.certificates",
    "eksapi": "monopod.eksapi",
    "metricsproxy": "monopod.metricsproxy",
    "microvm": "monopod.controllers.microvm",
    "patch": "monopod.controllers.patch",
    "pullproxy": "monopod.pullproxy",
    "scheduler": "monopod.controllers.scheduler",
    "sidecars": "monopod.controllers.sidecars",
    "vpc": "monopod.controllers.vpc",
    "webhooks": "monopod.webhooks",
}
# Each in a fork of a process that has what all of them import: a registry is a process's.
_PROGRAM = """
import importlib, json, os, sys
import monopod.kube, monopod.util.https_server
from prometheus_client import REGISTRY

def registered():
    found = {}
    for each in list(REGISTRY._collector_to_names):
        name = getattr(each, "_name", "")
        if name.startswith("monopod_"):
            name += "_total" * (each._type == "counter")
            found[name] = (each._type, sorted(each._labelnames))
    return found

print(json.dumps(["", registered()]), flush=True)
for process, module in json.loads(sys.argv[1]).items():
    if (child := os.fork()) == 0:
        importlib.import_module(module + ".__main__")
        print(json.dumps([process, registered()]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, process
"""


@pytest.fixture(scope="module")
def registered() -> dict[str, dict[str, tuple[str, frozenset[str]]]]:
    said = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(_MODULES)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "COVERAGE_PROCESS_START"},
    ).stdout
    lines = (json.loads(line) for line in said.splitlines())
    return {
        process: {name: (kind, frozenset(labels)) for name, (kind, labels) in found.items()}
        for process, found in lines
    }


@pytest.mark.parametrize("process", sorted(_MODULES))
def test_every_metric_is_documented_with_type_and_labels(
    process: str, registered: dict[str, dict[str, tuple[str, frozenset[str]]]]
) -> None:
    common = registered[""]
    assert common == documents.documented()[_COMMON]
    own = {name: found for name, found in registered[process].items() if name not in common}
    assert own == documents.documented()[process]


def test_every_process_is_documented() -> None:
    assert set(documents.documented()) == {*_MODULES, _COMMON}


def test_no_label_has_a_name_that_grows_with_use() -> None:
    growing = {"pod", "namespace", "node", "machine", "uid", "name", "image", "address", "user"}
    for metrics in documents.documented().values():
        for name, (_, labels) in metrics.items():
            assert not labels & growing, name


def test_every_label_is_bounded_on_the_page() -> None:
    page = (documents.REFERENCE / "metrics.md").read_text()
    bounded = set(re.findall(r"`(\w+)`", page[page.index("## Cardinality") :]))
    for metrics in documents.documented().values():
        for name, (_, labels) in metrics.items():
            assert labels <= bounded, name


def _known() -> set[str]:
    """Return the names of all series of Monopod's."""
    known: set[str] = set()
    for metrics in documents.documented().values():
        for name, (kind, _) in metrics.items():
            histogram = {f"{name}_{part}" for part in ("bucket", "sum", "count")}
            known |= histogram if kind == "histogram" else {name}
    return known


@pytest.mark.parametrize("rule", documents.alerts(), ids=lambda rule: rule["alert"])
def test_a_rule_names_metrics_that_exist_and_says_what_to_do(rule: dict[str, Any]) -> None:
    named = re.findall(r"\b(monopod_\w+)", rule["expr"])
    assert named or re.search("etcd_|up\\{", rule["expr"])
    assert set(named) <= _known()
    assert rule["annotations"]["summary"]


def test_the_pages_name_every_alert() -> None:
    named = set(
        re.findall(r"`(Monopod\w+)`", (documents.ROOT / "docs/how-to/monitoring.md").read_text())
    )
    assert named == {rule["alert"] for rule in documents.alerts()}


@pytest.mark.parametrize("dashboard", documents.DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_name_metrics_that_exist(dashboard: Path) -> None:
    for query in documents.queries(dashboard):
        assert set(re.findall(r"\bmonopod_\w+", query)) <= _known(), query
