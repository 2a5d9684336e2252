from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monopod.controlplane.errors import HostUnfitError
from monopod.controlplane.preflight import PACKAGE_OF_PROGRAM, Findings, preflight

pytestmark = pytest.mark.unit

FIT = Findings(
    uid=0,
    programs=frozenset(PACKAGE_OF_PROGRAM),
    namespaces=frozenset({"net", "pid", "mnt", "ipc", "uts", "user", "time", "cgroup"}),
    user_namespaces=1000,
    cgroups=True,
    free_bytes=100 << 30,
    home=Path("/var/lib/monopod"),
)


def test_a_fit_host_lacks_nothing() -> None:
    assert preflight(FIT) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": 1000}, "must run as root"),
        ({"namespaces": frozenset({"net"})}, "no namespaces of kind ipc, mnt, pid, user, uts"),
        ({"user_namespaces": 0}, "sysctl -w user.max_user_namespaces"),
        ({"cgroups": False}, "no cgroup hierarchy"),
        ({"free_bytes": 5 << 20}, "/var/lib/monopod has 5 MiB free"),
        ({"home": Path("/" + "x" * 90)}, "too long"),
        (
            {"variables": frozenset({"MONOPOD_ADMISSION_MODE", "MONOPOD_WEBHOOKS_PORT"})},
            "MONOPOD_ADMISSION_MODE is called MONOPOD_WEBHOOKS_MODE now",
        ),
        (
            {"variables": frozenset({"MONOPOD_ADMISSION_TELL_REGION"})},
            "MONOPOD_ADMISSION_TELL_REGION is called MONOPOD_WEBHOOKS_INJECT_REGION now",
        ),
    ],
)
def test_each_missing_requirement_is_named(change: dict[str, Any], said: str) -> None:
    (line,) = preflight(replace(FIT, **change))
    assert said in line


def test_missing_programs_come_with_the_command_that_installs_them() -> None:
    there = frozenset(PACKAGE_OF_PROGRAM) - {"s6-svscan", "s6-log", "nft"}
    (line,) = preflight(replace(FIT, programs=there))
    assert line.endswith("apt-get install --no-install-recommends nftables s6")


def test_all_missing_requirements_are_listed_at_once() -> None:
    missing = preflight(replace(FIT, uid=1, cgroups=False, free_bytes=0))
    assert len(missing) == 3
    assert all(line in str(HostUnfitError(missing)) for line in missing)
