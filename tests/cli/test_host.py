"""``monopod host`` without a control plane: the cordon is the host's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from monopod.cli import host
from monopod.controlplane import state
from monopod.node.provider import cordon

pytestmark = [pytest.mark.kernel, pytest.mark.row("S21")]

MONOPOD = Path(sys.executable).with_name("monopod")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    state.save(home, state.State(transit=3, components=str(tmp_path / "components")))
    return home


def _host(home: Path, *words: str) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    host.register(app)
    environment = {"MONOPOD_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
    return CliRunner().invoke(app, ["host", *words], env=environment)


def test_a_host_is_cordoned_until_it_is_uncordoned(home: Path) -> None:
    assert "takes new machines" in _host(home, "status").stdout
    done = _host(home, "cordon", "--reason", "kernel update")
    assert done.exit_code == 0, done.stderr
    assert "(kernel update): no machine starts until `monopod host uncordon`" in done.stdout
    first = cordon.read(home / "cordoned")
    assert first is not None
    # Repeated: since when and why are kept, unless there is another reason.
    assert _host(home, "cordon").exit_code == 0
    assert cordon.read(home / "cordoned") == first
    said = _host(home, "status").stdout
    assert "kernel update" in said
    assert "0 machines run here." in said
    assert _host(home, "uncordon").stdout == "Uncordoned.\n"
    assert not (home / "cordoned").exists()
    assert _host(home, "uncordon").stdout == "This host was not cordoned.\n"


def test_a_drain_whose_api_server_is_down_leaves_the_host_cordoned_and_says_why(
    home: Path,
) -> None:
    done = subprocess.run(
        [MONOPOD, "host", "drain", "--timeout", "1s"],
        env={**os.environ, "MONOPOD_HOME": str(home), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert (home / "cordoned").exists()


@pytest.mark.parametrize("option", ["--timeout", "--force-after"])
def test_a_bad_duration_is_named_before_anything_changes(home: Path, option: str) -> None:
    done = _host(home, "drain", option, "soon")
    assert done.exit_code == 2
    assert "write it as 90s or 1h30m" in " ".join(done.stderr.replace("│", " ").split())
    assert not (home / "cordoned").exists()


def test_the_unit_starts_and_shuts_down_this_home(home: Path) -> None:
    printed = _host(home, "unit").stdout
    assert f"MONOPOD_HOME={home}" in printed
    assert "ExecStop=" in printed
    assert "host shutdown" in printed
