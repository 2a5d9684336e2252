"""Builds the command line that confines a service's process (no I/O).

bubblewrap creates the namespaces and the view of the file system. Root starts it and it creates no
user namespace, so that it works where a host forbids unprivileged ones; inside it ``setpriv`` drops
root, after which no process in the sandbox can gain a privilege.

The process tree of a confined service depends on the pid 1 of its pid namespace: when the process
that s6 supervises is killed, the kernel kills all of it. Every service dies with its supervisor,
because the next supervisor would start it a second time.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from monopod.controlplane.service import (
    NOTIFY_FD,
    PROGRAMS,
    RESOLVER_FILE,
    SEARCH_PATH,
    Service,
)
from monopod.kube.daemon import NOTIFY_FD_VARIABLE

_SECCOMP_FD: Final = NOTIFY_FD + 1
_USR_LINKS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def command(service: Service, seccomp: Path | None = None) -> tuple[str, ...]:
    """Return the whole command line that runs a service; root executes it.

    Args:
        service: The service.
        seccomp: A file with the filter of a confined one; None means no filter.
    """
    return (
        *(() if seccomp is None else ("redirfd", "-r", str(_SECCOMP_FD), str(seccomp))),
        "prlimit",
        "--core=0:0",
        "nsenter",
        f"--net=/run/netns/{service.namespace}",
        *(_confinement(service, seccomp) if service.confined else _environment(service)),
        *_privileges(service),
        *service.argv,
    )


def _environment(service: Service) -> tuple[str, ...]:
    words = [f"{name}={value}" for name, value in _variables(service).items()]
    return ("env", "-i", *words)


def _variables(service: Service) -> dict[str, str]:
    own = {"PATH": SEARCH_PATH}
    if service.notifies:
        own[NOTIFY_FD_VARIABLE] = str(NOTIFY_FD)
    return dict(sorted({**own, **service.environment}.items()))


def _confinement(service: Service, seccomp: Path | None) -> tuple[str, ...]:
    words = ["bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += ["--die-with-parent", "--new-session"]
    if seccomp is not None:
        words += ["--seccomp", str(_SECCOMP_FD)]
    words += ["--ro-bind", "/usr", "/usr"]
    for name in _USR_LINKS:
        words += ["--symlink", f"usr/{name}", f"/{name}"]
    words += ["--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    if service.resolver is not None:
        words += ["--ro-bind", str(service.resolver), "/etc/resolv.conf"]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/run"]
    words += ["--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    for name, path in sorted(service.programs.items()):
        words += ["--ro-bind", str(path), str(PROGRAMS / name)]
    configured = (service.configured,) if service.configured else ()
    shown = (*configured, *service.readable)
    # bubblewrap would make the parents of a private directory private to root too.
    for parent in _parents((*shown, *service.writable)):
        words += ["--dir", str(parent)]
    for path in shown:
        words += ["--ro-bind", str(path), str(path)]
    if service.configured and RESOLVER_FILE in service.configuration:
        words += ["--ro-bind", str(service.configured / RESOLVER_FILE), f"/etc/{RESOLVER_FILE}"]
    for path in service.writable:
        words += ["--bind", str(path), str(path)]
    words += ["--remount-ro", "/", "--chdir", "/", "--clearenv"]
    for name, value in _variables(service).items():
        words += ["--setenv", name, value]
    return (*words, "--")


def _parents(paths: Iterable[Path]) -> list[Path]:
    """Return every directory above these paths, the highest first."""
    parents = {parent for path in paths for parent in path.parents if parent != parent.parent}
    return sorted(parents)


def _privileges(service: Service) -> tuple[str, ...]:
    kept = "".join(f",+{name}" for name in service.capabilities)
    inherited = kept if service.uid else ""
    # In the sandbox bubblewrap does this; the process's parent there is not the supervisor.
    mortal = () if service.confined else ("--pdeathsig=KILL",)
    return (
        "setpriv",
        f"--reuid={service.uid}",
        f"--regid={service.uid}",
        "--clear-groups",
        "--no-new-privs",
        f"--inh-caps=-all{inherited}",
        f"--ambient-caps=-all{inherited}",
        f"--bounding-set=-all{kept}",
        *mortal,
        "--",
    )
