"""The seccomp filter of the control plane's confined processes: calls that no server makes.

A list of what is refused, unlike that of VMMs: these are programs of several languages, whose
runtimes may use a new call for an old purpose. What is refused opens the kernel where holes have
been: namespaces and mounts, tracing, loading of code, keys, sockets of unusual families.
"""

import errno
import os
from typing import Final

import pyseccomp

_NEW_NAMESPACES: Final = 0x7E020080
"""Every ``CLONE_NEW*`` flag that ``clone`` knows."""
_FAMILIES: Final = 46
"""Address families that kernels know; higher numbers are refused by them."""
_ALLOWED_FAMILIES: Final = frozenset({0, 1, 2, 10, 16})
"""Unspecified, Unix, IPv4, IPv6 and netlink, which lists interfaces and writes kube-proxy's
rules."""
_REFUSED: Final = (
    *("mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "mount_setattr"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter"),
    *("io_uring_register", "init_module", "finit_module", "delete_module", "kexec_load"),
    *("kexec_file_load", "add_key", "request_key", "keyctl", "personality", "acct"),
    *("quotactl", "swapon", "swapoff", "reboot", "syslog", "settimeofday", "clock_settime"),
    *("clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm"),
    *("modify_ldt", "name_to_handle_at", "open_by_handle_at", "lookup_dcookie", "vhangup"),
    *("mbind", "move_pages", "migrate_pages", "set_mempolicy", "fanotify_init"),
)
_TIOCSTI: Final = 0x5412


def program() -> bytes:
    """Return the compiled filter as bubblewrap reads it: a refused call fails with EPERM."""
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EPERM)
    for name in _REFUSED:
        rules.add_rule(refused, name)
    # Its flags lie in memory, which a filter cannot read; C libraries then use clone.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    for flag in (1 << bit for bit in range(32) if _NEW_NAMESPACES >> bit & 1):
        flagged = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag)
        rules.add_rule(refused, "clone", flagged)
    for family in range(_FAMILIES):
        if family not in _ALLOWED_FAMILIES:
            rules.add_rule(refused, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    rules.add_rule(refused, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, _TIOCSTI))
    descriptor = os.memfd_create("seccomp")
    with os.fdopen(descriptor, "w+b") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
