"""The pages in ``docs/reference/api`` are those that the tool generates from the definitions."""

from types import ModuleType

import pytest

from tests.framework.tools import load_tool

pytestmark = pytest.mark.unit


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_tool("generate_api_reference", monkeypatch)


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
