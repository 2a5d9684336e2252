"""The seccomp filter of VMMs: an allow-list of system calls.

A call added by a newer kernel is denied until it is listed. Denied calls fail with ENOSYS, which C
libraries handle. The calls of every program are here; each driver adds those of its VMM.
"""

import errno
import os
from dataclasses import dataclass
from typing import Final

import pyseccomp

_NEW_NAMESPACES: Final = 0x7E020080
"""Every ``CLONE_NEW*`` flag that ``clone`` knows."""
_CLONE_THREAD: Final = 0x00010000
_AF_UNIX: Final = 1
_IOCTL_TYPE: Final = 0xFF00
"""Mask of an ioctl's type. The upper 32 bits, a sign extension, are ignored by the kernel."""
_IOCTLS: Final = (0x5401, 0x541B, 0x5421, 0x5452)
"""``TCGETS``, ``FIONREAD``, ``FIONBIO``, ``FIOASYNC``."""

_COMMON: Final = (
    # files: only those whose descriptors it was given, and its own temporary ones
    *("access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2"),
    *("fallocate", "fcntl", "fdatasync", "fstat", "fstatfs", "fsync", "ftruncate"),
    *("getcwd", "getdents64", "lseek", "lstat", "newfstatat", "open", "openat", "pread64"),
    *("preadv", "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv"),
    *("stat", "statfs", "statx", "umask", "uname", "unlink", "write", "writev"),
    # memory
    *("brk", "madvise", "memfd_create", "mincore", "mlock", "mmap", "mprotect", "mremap", "msync"),
    *("munlock", "munmap"),
    # itself; execve is how the jail starts it
    *("arch_prctl", "execve", "exit", "exit_group", "futex", "getegid", "geteuid", "getgid"),
    *("getpid", "getppid", "getrlimit", "getrusage", "gettid", "getuid", "kill", "prctl"),
    *("prlimit64", "restart_syscall", "rseq", "sched_getaffinity", "sched_yield"),
    *("set_robust_list", "set_tid_address", "sysinfo", "tgkill", "wait4"),
    # signals and time
    *("alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday"),
    *("nanosleep", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn"),
    *("rt_sigsuspend", "rt_sigtimedwait", "setitimer", "sigaltstack", "time", "timer_create"),
    *("timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "getrandom"),
    # waiting
    *("epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2"),
    *("pipe", "pipe2", "poll", "ppoll", "pselect6", "select"),
    # sockets that it has
    *("accept", "accept4", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom"),
    *("recvmsg", "sendmsg", "sendto", "shutdown"),
)


@dataclass(frozen=True, slots=True)
class Extra:
    """What one VMM program may do beyond the common allow-list."""

    calls: tuple[str, ...]
    ioctls: tuple[int, ...] = ()
    ioctl_types: tuple[int, ...] = ()
    """Allowed ioctl types (the second byte of the number), each with all its ioctls."""
    socket_options: tuple[tuple[int, int], ...] = ()
    """Levels and names of the socket options that it may set. Others take the host's memory beyond
    its cgroup's limit (rings of packet sockets, ``SO_RCVBUFFORCE``) or load programs (filters)."""
    processes: bool = True
    """Whether it may create processes, not only threads."""


def build_filter(extra: Extra) -> pyseccomp.SyscallFilter:
    """Build the filter without loading it."""
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.ENOSYS))
    for name in (*_COMMON, *extra.calls):
        rules.add_rule(pyseccomp.ALLOW, name)
    mask, value = (_NEW_NAMESPACES, 0)
    if not extra.processes:
        mask, value = (_NEW_NAMESPACES | _CLONE_THREAD, _CLONE_THREAD)
    rules.add_rule(pyseccomp.ALLOW, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, mask, value))
    for name in ("socket", "socketpair"):
        rules.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX))
    for request in (*_IOCTLS, *extra.ioctls):
        # A comparison of all 64 bits: the kernel ignores the upper half, so no "all but".
        rules.add_rule(pyseccomp.ALLOW, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    for level, option in extra.socket_options:
        at = pyseccomp.Arg(1, pyseccomp.EQ, level), pyseccomp.Arg(2, pyseccomp.EQ, option)
        rules.add_rule(pyseccomp.ALLOW, "setsockopt", *at)
    for kind in extra.ioctl_types:
        family = pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _IOCTL_TYPE, kind << 8)
        rules.add_rule(pyseccomp.ALLOW, "ioctl", family)
    return rules


def open_program(extra: Extra) -> int:
    """Return a descriptor with the compiled filter, for bubblewrap; the caller closes it."""
    descriptor = os.memfd_create("seccomp")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        build_filter(extra).export_bpf(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
