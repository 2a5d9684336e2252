"""Which system calls a VMM may make: those that it needs, and no others.

A list of what is allowed, so a call that a newer kernel adds is refused until somebody has thought
about it. Everything else looks as if the kernel did not have it, which C libraries cope with.
"""

import errno
import os
from typing import Final

import pyseccomp

_NEW_NAMESPACES: Final = 0x7E020080
"""Every ``CLONE_NEW*`` flag that ``clone`` knows."""
_AF_UNIX: Final = 1
_IOCTLS: Final = (0x5401, 0x541B, 0x5421, 0x5452)
"""``TCGETS``, ``FIONREAD``, ``FIONBIO``, ``FIOASYNC``."""

_ALLOWED: Final = (
    # files: only those whose descriptors it was given, and its own temporary ones
    *("access", "close", "close_range", "creat", "dup", "dup2", "dup3", "faccessat", "faccessat2"),
    *("fallocate", "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate"),
    *("getcwd", "getdents64", "lseek", "lstat", "mkdir", "newfstatat", "open", "openat", "pread64"),
    *("preadv", "pwrite64", "pwritev", "read", "readlink", "readlinkat", "readv", "rename"),
    *("rmdir", "stat", "statfs", "statx", "umask", "uname", "unlink", "unlinkat", "write"),
    *("writev", "chdir", "fchmod", "chmod"),
    # memory
    *("brk", "madvise", "memfd_create", "mincore", "mlock", "mmap", "mprotect", "mremap", "msync"),
    *("munlock", "munmap"),
    # its own processes: one for each address space in the guest
    *("arch_prctl", "execve", "exit", "exit_group", "fork", "futex", "getegid", "geteuid"),
    *("getgid", "getpgrp", "getpid", "getppid", "getrlimit", "gettid", "getuid", "kill", "prctl"),
    *("prlimit64", "ptrace", "restart_syscall", "rseq", "sched_getaffinity", "sched_yield"),
    *("set_robust_list", "set_tid_address", "setpgid", "setsid", "tgkill", "vfork", "wait4"),
    *("waitid", "getrusage", "sysinfo"),
    # signals and time
    *("alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday"),
    *("nanosleep", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn"),
    *("rt_sigsuspend", "rt_sigtimedwait", "setitimer", "sigaltstack", "time", "timer_create"),
    *("timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "getrandom"),
    # waiting
    *("epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2"),
    *("pipe", "pipe2", "poll", "ppoll", "pselect6", "select"),
    # sockets it has, and new ones within its own empty namespace
    *("accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt"),
    *("listen", "recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto"),
    *("setsockopt", "shutdown"),
)


def build_filter() -> pyseccomp.SyscallFilter:
    """The filter, not loaded."""
    rules = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.ENOSYS))
    for name in _ALLOWED:
        rules.add_rule(pyseccomp.ALLOW, name)
    no_namespaces = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _NEW_NAMESPACES, 0)
    rules.add_rule(pyseccomp.ALLOW, "clone", no_namespaces)
    for name in ("socket", "socketpair"):
        rules.add_rule(pyseccomp.ALLOW, name, pyseccomp.Arg(0, pyseccomp.EQ, _AF_UNIX))
    for request in _IOCTLS:
        # A comparison of all 64 bits: the kernel ignores the upper half, so no "all but".
        rules.add_rule(pyseccomp.ALLOW, "ioctl", pyseccomp.Arg(1, pyseccomp.EQ, request))
    return rules


def open_program() -> int:
    """The filter as the kernel takes it, in a descriptor for bubblewrap to read.

    The caller closes it.
    """
    descriptor = os.memfd_create("seccomp")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        build_filter().export_bpf(file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
