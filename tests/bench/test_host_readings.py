"""Parsers of the host's files."""

from datetime import datetime
from pathlib import Path

import pytest

from monopod.bench.footprint import cpu_s, processes_bytes
from monopod.node.vmm import kubelet_start

pytestmark = pytest.mark.unit

CONSOLE = """\
2026-11-23 19:18:52.456960983  Run /usr/sbin/init as init process
2026-11-23 19:18:53.604559723  \x1b[36mINFO\x1b[0m[2026-11-23T19:18:53.603841322Z] starting
2026-11-23 19:18:55.803871612  I1123 19:18:55.803210     771 server.go:257] "Effective" config=<
2026-11-23 19:18:55.868426555  I1123 19:18:55.867696     771 server.go:545] "Kubelet version"
"""
LEGACY = "cache 250925056\nrss 1000\nshmem 200000\nmapped_file 244416512\n"
UNIFIED = "anon 1000\nfile 5000\nkernel 30\nshmem 200000\n"


def test_kubelet_started_is_its_first_line() -> None:
    at = kubelet_start.kubelet_started(CONSOLE.splitlines())
    whole = datetime(2026, 11, 23, 19, 18, 55).astimezone().timestamp()
    assert at == pytest.approx(whole + 0.803871612, abs=1e-6)
    assert kubelet_start.kubelet_started(CONSOLE.splitlines()[:2]) is None
    assert kubelet_start.kubelet_started([]) is None


def test_a_rotated_console_is_read_from_its_beginning(tmp_path: Path) -> None:
    assert kubelet_start.read(tmp_path, "mvm-1") is None
    directory = tmp_path / "mvm-1" / "console"
    directory.mkdir(parents=True)
    lines = CONSOLE.splitlines(keepends=True)
    (directory / "current").write_text(lines[3])
    late = kubelet_start.read(tmp_path, "mvm-1")
    (directory / "@4000000065a1").write_text("".join(lines[:3]))
    early = kubelet_start.read(tmp_path, "mvm-1")
    assert early is not None
    assert late is not None
    assert late - early == pytest.approx(0.064554943, abs=1e-6)


def test_memory_of_processes_in_both_versions_of_cgroups() -> None:
    assert processes_bytes(LEGACY, "30\n") == 201030
    assert processes_bytes(UNIFIED, None) == 201030
    with pytest.raises(KeyError):
        processes_bytes("nothing 1\n", None)


def test_cpu_time_of_a_group() -> None:
    assert cpu_s("usage_usec 66884664\nuser_usec 12575394\n") == pytest.approx(66.884664)
    assert cpu_s("nr_periods 1\n") is None
