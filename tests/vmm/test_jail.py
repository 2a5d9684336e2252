from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.node.vmm.disks import Disks
from monopod.node.vmm.jail import Jail, jail_argv
from monopod.node.vmm.uml import guest_memory_mib, kernel_argv, overhead_mib, processes

pytestmark = pytest.mark.unit

_JAIL = Jail(
    uid=1_000_000_007,
    files={"/linux": Path("/run/uml/linux"), "/lib": Path("/run/uml/lib")},
    temporary_bytes=1 << 29,
    seccomp_fd=11,
)


def _options(argv: Sequence[str], name: str, values: int) -> list[tuple[str, ...]]:
    """What stands behind each occurrence of an option."""
    return [
        tuple(argv[index + 1 : index + 1 + values])
        for index, word in enumerate(argv)
        if word == name
    ]


@pytest.mark.parametrize("kind", ["user", "pid", "net", "ipc", "uts", "cgroup"])
def test_no_namespace_is_shared(kind: str) -> None:
    argv = jail_argv(_JAIL, ["/linux"])
    assert f"--unshare-{kind}" in argv
    assert "--share-net" not in argv


def test_root_is_dropped_before_the_jail_is_made() -> None:
    argv = jail_argv(_JAIL, ["/linux"])
    privileges = argv[: argv.index("bwrap")]
    assert privileges[0] == "setpriv"
    assert {
        "--reuid=1000000007",
        "--regid=1000000007",
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
    } <= set(privileges)


def test_addresses_are_random_unless_a_program_cannot_live_with_that() -> None:
    assert "setarch" not in jail_argv(_JAIL, ["/linux"])
    assert "setarch" in jail_argv(replace(_JAIL, fixed_addresses=True), ["/linux"])


def test_proc_and_devices_are_there_only_where_asked_for() -> None:
    argv = jail_argv(_JAIL, ["/linux"])
    assert not {"--proc", "--dev-bind"} & set(argv)
    wanted = replace(_JAIL, proc=True, devices={"/dev/kvm": Path("/home/kvm")})
    argv = jail_argv(wanted, ["/linux"])
    assert _options(argv, "--proc", 1) == [("/proc",)]
    assert _options(argv, "--dev-bind", 2) == [("/home/kvm", "/dev/kvm")]


def test_everything_bound_into_the_jail_is_read_only() -> None:
    argv = jail_argv(_JAIL, ["/linux"])
    assert _options(argv, "--ro-bind", 2) == [
        ("/run/uml/lib", "/lib"),
        ("/run/uml/linux", "/linux"),
    ]
    assert not {"--bind", "--dev-bind", "--dev", "--bind-try"} & set(argv)
    assert _options(argv, "--tmpfs", 1) == [("/dev/shm",)]
    assert _options(argv, "--size", 1) == [(str(1 << 29),)]
    assert _options(argv, "--remount-ro", 1) == [("/",)]


def test_the_filter_is_loaded_and_the_environment_is_not_passed_on() -> None:
    argv = jail_argv(_JAIL, ["/linux", "mem=1M"])
    assert _options(argv, "--seccomp", 1) == [("11",)]
    assert "--clearenv" in argv
    assert "--setenv" not in argv
    own = replace(_JAIL, environment={"LD_PRELOAD": "/registers.so"})
    assert _options(jail_argv(own, ["/linux"]), "--setenv", 2) == [("LD_PRELOAD", "/registers.so")]
    assert "--new-session" in argv
    assert argv[-3:] == ["--", "/linux", "mem=1M"]


def test_a_machine_outlives_its_launcher() -> None:
    assert "--die-with-parent" not in jail_argv(_JAIL, ["/linux"])
    assert "--die-with-parent" in jail_argv(replace(_JAIL, dies_with_parent=True), ["/linux"])


def test_disks_and_link_are_descriptors_and_not_paths() -> None:
    links = ((6, "02:6d:64:40:00:07"), (5, "02:6d:c0:a8:00:07"))
    argv = kernel_argv(512, Disks(7, 8, 9), links)
    assert {"ubd0r=/proc/self/fd/7", "ubd1=/proc/self/fd/8", "ubd2r=/proc/self/fd/9"} <= set(argv)
    assert "vec0:transport=fd,fd=6,mac=02:6d:64:40:00:07,mtu=9001" in argv
    assert "vec1:transport=fd,fd=5,mac=02:6d:c0:a8:00:07,mtu=9001" in argv
    assert "mem=512M" in argv


@given(memory_mib=st.integers(min_value=512, max_value=8192))
def test_a_guest_has_what_was_provisioned_and_the_vmm_some_more(memory_mib: int) -> None:
    guest_mib = guest_memory_mib(memory_mib)
    # The kernel's own share, measured.
    assert guest_mib - 22 - guest_mib * 0.0175 >= memory_mib
    assert guest_mib <= memory_mib * 1.025 + 64
    assert overhead_mib(guest_mib) * 1024 >= processes(guest_mib) * 120
