"""The pages in ``docs/reference/api`` are those that the tool generates from the definitions."""

import sys
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.unit

_TOOL = Path(__file__).resolve().parents[2] / "tools" / "generate_api_reference.py"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = util.spec_from_file_location(_TOOL.stem, _TOOL)
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    # msgspec resolves the models' annotations by the name of their module.
    monkeypatch.setitem(sys.modules, _TOOL.stem, module)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_up_to_date(tool: ModuleType) -> None:
    pages = {path.name: path.read_text() for path in tool.TARGET.glob("*.md")}
    assert pages == tool.pages(), "run make api-reference"


def test_a_page_has_fields_limits_and_rules(tool: ModuleType) -> None:
    page = tool.pages()["securitygroup.md"]
    assert "| short names | `sg` |" in page
    assert (
        "| `spec.ingress[].protocol` | string | yes | | one of `tcp`, `udp`, `icmp`, `-1` |" in page
    )
    assert "`spec.vpc` (`self` is `spec`): is immutable" in page
    assert "self.vpc == oldSelf.vpc" in page
