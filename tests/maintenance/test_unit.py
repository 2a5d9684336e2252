"""The systemd unit of a cluster."""

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from monopod.controlplane.maintenance.settings import HostSettings
from monopod.controlplane.maintenance.unit import unit
from monopod.settings import Settings

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]

PROGRAM = Path("/opt/mono pod/.venv/bin/monopod")


def _unit(**environment: str) -> str:
    return unit(PROGRAM, Settings(home=Path("/srv/m")), HostSettings(shutdown_s=60), environment)


def test_it_starts_the_cluster_and_shuts_it_down_with_time_for_pods_to_end() -> None:
    said = configparser.RawConfigParser(strict=False)
    said.read_string(_unit())
    service = said["Service"]
    assert shlex.split(service["ExecStart"]) == [str(PROGRAM), "up", "--no-demo"]
    assert shlex.split(service["ExecStop"]) == [str(PROGRAM), "host", "shutdown"]
    assert service["TimeoutStopSec"] == "150s"
    assert said["Unit"]["RequiresMountsFor"] == '"/srv/m"'


def test_it_has_the_settings_of_its_environment_and_nothing_else() -> None:
    text = _unit(MONOPOD_HOME="/srv/m", HOME="/root", OTHER="x", MONOPOD_CLUSTER='a "b" 5%')
    found = [line for line in text.splitlines() if line.startswith("Environment=")]
    assert found == [
        'Environment="HOME=/root"',
        'Environment="MONOPOD_CLUSTER=a \\"b\\" 5%%"',
        'Environment="MONOPOD_HOME=/srv/m"',
    ]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_accepts_it(tmp_path: Path) -> None:
    program = tmp_path / "monopod"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "monopod.service"
    file.write_text(unit(program, Settings(home=tmp_path), HostSettings(), {}))
    done = subprocess.run(
        ["systemd-analyze", "verify", file], capture_output=True, text=True, check=False
    )
    assert str(file) not in done.stderr
