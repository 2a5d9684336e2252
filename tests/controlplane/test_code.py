import asyncio
import os
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from monopod.controlplane import code, monopod_services
from monopod.controlplane.layout import Layout
from monopod.controlplane.supervision import run_script
from monopod.settings import Settings

pytestmark = pytest.mark.unit

LAYOUT = Layout.of(Settings(home=Path("/var/lib/monopod")), 7)


@pytest.fixture
def installation(tmp_path: Path) -> tuple[Path, Path]:
    package, dependencies = tmp_path / "monopod", tmp_path / "site-packages"
    (package / "api").mkdir(parents=True)
    (package / "api" / "names.py").write_text("A = 1\n")
    (dependencies / "msgspec-0.20.0.dist-info").mkdir(parents=True)
    return package, dependencies


def test_a_change_of_any_file_or_dependency_changes_the_digest(
    installation: tuple[Path, Path],
) -> None:
    package, dependencies = installation
    seen = [code.code_digest(*installation)]
    (package / "api" / "names.py").write_text("A = 2\n")
    seen.append(code.code_digest(*installation))
    (package / "api" / "names.py").rename(package / "names.py")
    seen.append(code.code_digest(*installation))
    (package / "api" / "crd.yaml").write_text("kind: A\n")
    seen.append(code.code_digest(*installation))
    (dependencies / "msgspec-0.20.0.dist-info").rename(dependencies / "msgspec-0.21.0.dist-info")
    seen.append(code.code_digest(*installation))
    assert len(set(seen)) == 5


def test_compiled_files_do_not_count(installation: tuple[Path, Path]) -> None:
    package, _ = installation
    before = code.code_digest(*installation)
    (package / "api" / "__pycache__").mkdir()
    (package / "api" / "__pycache__" / "names.pyc").write_text("compiled")
    assert code.code_digest(*installation) == before


def test_code_is_compiled_so_that_processes_need_not(installation: tuple[Path, Path]) -> None:
    package, _ = installation
    source = package / "api" / "names.py"

    def compiled() -> bytes:
        asyncio.run(code.compile_code(package))
        return Path(cache_from_source(str(source))).read_bytes()

    first = compiled()
    assert compiled() == first
    source.write_text("A = 2\n")
    os.utime(source, (0, 0))
    assert compiled() != first


def test_code_that_does_not_compile_is_left_to_who_runs_it(
    installation: tuple[Path, Path],
) -> None:
    package, _ = installation
    (package / "broken.py").write_text("1 +\n")
    asyncio.run(code.compile_code(package))
    assert (package / "api" / "__pycache__").is_dir()


def test_new_code_restarts_each_of_monopods_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """``up`` restarts a service when its run script changes."""
    scripts: list[dict[str, str]] = []
    for digest in ("one", "two"):
        monkeypatch.setattr(code, "installed_code", lambda digest=digest: digest)
        every = monopod_services.services(LAYOUT, Path("/image"))
        scripts.append({each.name: run_script(each) for each in every})
    before, after = scripts
    assert len(before) == 11
    assert [name for name in before if before[name] == after[name]] == []


def test_the_same_code_restarts_none() -> None:
    first, second = (monopod_services.services(LAYOUT, Path("/image")) for _ in range(2))
    assert first == second
