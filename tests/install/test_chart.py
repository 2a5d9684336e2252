"""The chart is generated from the objects that ``monopod install`` applies."""

import json
import re
from types import ModuleType

import pytest
import yaml

from tests.framework.tools import load_tool

pytestmark = pytest.mark.unit


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_tool("generate_chart", monkeypatch)


def test_the_chart_is_up_to_date(tool: ModuleType) -> None:
    written = {
        str(path.relative_to(tool.CHART)): path.read_text()
        for path in (tool.CHART / "Chart.yaml", *(tool.CHART / "templates").iterdir())
    }
    assert written == tool.templates(), "run make chart"


def test_every_value_is_used_and_checked(tool: ModuleType) -> None:
    values = yaml.safe_load((tool.CHART / "values.yaml").read_text())
    schema = json.loads((tool.CHART / "values.schema.json").read_text())
    used = set(re.findall(r"\.Values\.([A-Za-z.]+)", "".join(tool.templates().values())))
    paths = {
        f"{name}.{inner}" if isinstance(value, dict) and value else name
        for name, value in values.items()
        for inner in (value if isinstance(value, dict) and value else ("",))
    }
    assert used == paths
    for path in paths:
        properties = schema["properties"]
        for name in path.split("."):
            assert name in properties, path
            properties = properties[name].get("properties", {})


def test_definitions_are_kept_when_the_release_is_removed(tool: ModuleType) -> None:
    for each in yaml.safe_load_all(tool.templates()["templates/crds.yaml"]):
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
