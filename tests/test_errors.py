"""Every error derives from one root, by which the command line recognises it."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import monopod
from monopod.cli.failures import explained
from monopod.errors import MonopodError
from monopod.node.guest.errors import DiskError

pytestmark = pytest.mark.unit


def _errors() -> Iterator[type[Exception]]:
    """All public exception classes of Monopod's modules."""
    for found in pkgutil.walk_packages(monopod.__path__, "monopod."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, kind in inspect.getmembers(module, inspect.isclass):
            own = kind.__module__ == found.name and not name.startswith("_")
            if own and issubclass(kind, Exception):
                yield kind


def test_every_error_of_every_package_derives_from_the_one_root() -> None:
    errors = list(_errors())
    assert len(errors) > 20
    assert not [kind for kind in errors if not issubclass(kind, MonopodError)]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("MONOPOD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path / "home"


def test_an_error_of_any_package_is_shown_as_its_message(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    with pytest.raises(SystemExit) as caught, explained():
        raise DiskError("machine mvm-1: no space for its data disk")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: machine mvm-1: no space for its data disk\n"
    assert not home.exists()


def test_any_other_exception_keeps_its_traceback(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    with pytest.raises(SystemExit), explained():
        raise KeyError("spec")
    kept = home / "logs" / "last-failure"
    assert capsys.readouterr().err == f"error: unexpected: KeyError: 'spec' (details in {kept})\n"
    assert "Traceback" in kept.read_text()
