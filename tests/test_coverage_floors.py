"""Coverage has a floor for each package, and the tool fails below it."""

from pathlib import Path
from types import ModuleType

import pytest
from coverage import CoverageData

from tests.framework.tools import load_tool

pytestmark = pytest.mark.unit


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_tool("check_coverage", monkeypatch)


def test_each_module_is_in_a_package_with_a_floor(tool: ModuleType) -> None:
    floors = tool.floors()
    modules = [path.relative_to(tool.SOURCE) for path in tool.SOURCE.rglob("*.py")]
    assert {tool.package_of(module, [*floors]) for module in modules} == set(floors)
    assert all(0 < floor <= 100 for floor in floors.values())
    with pytest.raises(KeyError, match=r"new/module\.py is in no package"):
        tool.package_of(Path("new/module.py"), [*floors])


def test_a_package_below_its_floor_fails_the_check(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = CoverageData(str(tmp_path / "data"))
    modules = [str(path) for path in tool.SOURCE.rglob("*.py")]
    data.add_lines({path: [1] for path in modules})
    data.write()
    assert tool.main([data.data_filename()]) == 1
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("kube "))
    assert "below its floor" in row
    data.add_lines({path: range(1, 2000) for path in modules})
    data.write()
    assert tool.main([data.data_filename()]) == 0
    assert "100.0 %" in capsys.readouterr().out


def test_missing_data_is_named(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["/no/data"]) == 1
    assert capsys.readouterr().out.startswith("no /no/data: run make test-unit")
