"""Print how much of each package the tests' own processes ran, and fail below a package's floor.

    .venv/bin/python tools/check_coverage.py FILE...    data of runs with --cov, which are combined

Floors are in ``pyproject.toml``: ``tool.monopod.coverage`` has a percentage for each package; a
package's floor does not count for those below it that have one themselves. Daemons that tests start
as separate processes are not measured.
"""

import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coverage import Coverage

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "src" / "monopod"


@dataclass
class Package:
    """A package's statements, and those that ran."""

    statements: int = 0
    ran: int = 0

    @property
    def percent(self) -> float:
        """Share of the statements that ran, in percent."""
        return 100 * self.ran / self.statements if self.statements else 100.0


def floors(pyproject: Path = ROOT / "pyproject.toml") -> Mapping[str, int]:
    """Read the floor of each package, in percent; a package's key is its path below monopod."""
    return tomllib.loads(pyproject.read_text())["tool"]["monopod"]["coverage"]


def package_of(module: Path, names: Sequence[str]) -> str:
    """Return the innermost package with a floor that a module is in; "." is monopod itself.

    Raises:
        KeyError: It is in none.
    """
    for parent in module.parents[:-1]:
        if (name := parent.as_posix()) in names:
            return name
    if module.parent == Path() or module.name == "__init__.py":
        return "."
    raise KeyError(f"{module} is in no package of tool.monopod.coverage in pyproject.toml")


def measure(data: Sequence[str], names: Sequence[str]) -> Mapping[str, Package]:
    """Combine data files and count for each package; modules that no test imports count too."""
    coverage = Coverage(data_file=None, config_file=str(ROOT / "pyproject.toml"))
    coverage.combine(data, strict=True, keep=True)
    found = {name: Package() for name in names}
    for path in sorted(SOURCE.rglob("*.py")):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        package = found[package_of(path.relative_to(SOURCE), names)]
        package.statements += len(statements)
        package.ran += len(statements) - len(missing)
    return found


def main(data: Sequence[str]) -> int:
    """Print the table; returns 1 if a package is below its floor, or data is missing."""
    if missing := [file for file in data if not Path(file).exists()]:
        print(f"no {' and no '.join(missing)}: run make test-unit test-kernel test-api first")
        return 1
    wanted = floors()
    found = measure(data, [*wanted])
    width = max(map(len, wanted))
    print(f"{'package':{width}}  statements  covered  floor")
    for name, package in found.items():
        floor = wanted[name]
        row = f"{name:{width}}  {package.statements:10}  {package.percent:5.1f} %  {floor:3} %"
        print(row, "below its floor" if package.percent < floor else "")
    return int(any(package.percent < wanted[name] for name, package in found.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
