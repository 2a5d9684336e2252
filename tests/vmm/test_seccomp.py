"""The seccomp filter: each call is made by a process that has loaded it."""

import errno
import json
import os
import sys
from dataclasses import asdict

import pytest

from monopod.node.vmm import qemu, seccomp, uml
from monopod.node.vmm.qemu_command import Accelerator
from monopod.util import process

pytestmark = pytest.mark.unit

_PROGRAM = """
import ctypes, json, os, sys
import pyseccomp
from monopod.node.vmm.seccomp import Extra, build_filter

wanted = json.load(sys.stdin)
calls = wanted["calls"]
libc = ctypes.CDLL(None, use_errno=True)
numbers = {name: pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) for name, _ in calls}
build_filter(Extra(**wanted["extra"])).load()
answers = []
for name, arguments in calls:
    ctypes.set_errno(0)
    libc.syscall(numbers[name], *[ctypes.c_long(argument) for argument in arguments])
    answers.append(ctypes.get_errno())
os.write(1, json.dumps(answers).encode())
os._exit(0)
"""
_BAD = -1
"""An address or descriptor that makes any call fail with something other than ``ENOSYS``."""


async def _try(extra: seccomp.Extra, *calls: tuple[str, list[int]]) -> list[int]:
    """The error number of each call, 0 for success."""
    wanted = {"calls": calls, "extra": asdict(extra)}
    return json.loads(
        await process.run(sys.executable, "-c", _PROGRAM, stdin=json.dumps(wanted).encode())
    )


_FORBIDDEN = (
    # Everything that Docker's default profile forbids, and that could be called without privilege.
    *("acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init"),
    *("finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "io_uring_enter"),
    *("io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load"),
    *("kexec_load", "keyctl", "lookup_dcookie", "mbind", "migrate_pages", "mount"),
    *("mount_setattr", "move_mount", "move_pages", "name_to_handle_at", "nfsservctl"),
    *("open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_vm_readv"),
    *("process_vm_writev", "quotactl", "quotactl_fd", "reboot", "request_key", "set_mempolicy"),
    *("setdomainname", "sethostname", "setns", "settimeofday", "swapoff", "swapon", "syslog"),
    *("umount2", "unshare", "userfaultfd", "vhangup", "vmsplice"),
    # And more that a VMM has no use for.
    *("chroot", "clone3", "inotify_init1", "landlock_create_ruleset", "link", "mknod"),
    *("msgget", "pidfd_open", "seccomp", "semget", "setuid", "shmget"),
    *("splice", "symlink", "truncate"),
)


async def test_unlisted_system_calls_fail_with_enosys() -> None:
    answers = await _try(uml.ALLOWED, *((name, [_BAD] * 6) for name in _FORBIDDEN))
    found = dict(zip(_FORBIDDEN, answers, strict=True))
    assert found == dict.fromkeys(_FORBIDDEN, errno.ENOSYS)


@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("clone", [0x10000000], errno.ENOSYS),  # a new user namespace
        ("clone", [0x00020000 | 0x11], errno.ENOSYS),  # a new mount namespace
        ("clone", [0x40000000 | 0x11], errno.ENOSYS),  # a new network namespace
        ("socket", [2, 1, 0], errno.ENOSYS),  # IPv4
        ("socket", [16, 3, 0], errno.ENOSYS),  # netlink
        ("socket", [17, 3, 0], errno.ENOSYS),  # packets
        ("socket", [1, 1, 0], 0),
        ("ioctl", [0, 0x5412, 0], errno.ENOSYS),  # typing into a terminal
        ("ioctl", [0, 0x100005412, 0], errno.ENOSYS),  # the same, as the kernel reads it
        ("ioctl", [_BAD, 0x5401, 0], errno.EBADF),
        ("ptrace", [_BAD, 0, 0, 0], errno.ESRCH),
        ("personality", [0x0400000], errno.ENOSYS),
    ],
)
async def test_calls_are_judged_by_their_arguments(
    call: str, arguments: list[int], answer: int
) -> None:
    assert await _try(uml.ALLOWED, (call, arguments)) == [answer]


def test_the_program_can_be_read_from_its_start() -> None:
    descriptor = seccomp.open_program(uml.ALLOWED)
    try:
        program = os.read(descriptor, 1 << 20)
    finally:
        os.close(descriptor)
    assert program
    assert len(program) % 8 == 0


async def test_qemu_makes_no_process_and_changes_no_link() -> None:
    extra = qemu.allowed(Accelerator.TCG)
    calls: list[tuple[str, list[int]]] = [
        ("clone", [0x11]),  # a process
        ("ptrace", [_BAD, 0, 0, 0]),
        ("bind", [_BAD, 0, 0]),
        ("ioctl", [_BAD, 0x400454CB]),  # TUNSETPERSIST
        ("ioctl", [_BAD, 0x8924]),  # SIOCSIFHWADDR
        ("ioctl", [_BAD, 0xAE01]),  # KVM_CREATE_VM
    ]
    assert await _try(extra, *calls) == [errno.ENOSYS] * len(calls)
    kvm = qemu.allowed(Accelerator.KVM)
    assert await _try(kvm, calls[-1], calls[-2]) == [errno.EBADF, errno.ENOSYS]
