"""The command line and the specification of a gVisor sandbox. Pure.

Root image, disk and configuration are inherited descriptors. Monopod starts ``runsc boot`` itself,
in the jail of every VMM: the commands of ``runsc`` that set up namespaces, mounts and a gofer need
privileges on the host, and a sandbox without directories of the host needs none of them.
"""

from dataclasses import dataclass
from typing import Any, Final

from monopod.node.vmm.disks import Disks

PROGRAM: Final = "/runsc"
CONTAINER: Final = "machine"
"""Name of a sandbox's only container."""
INIT: Final = "/usr/local/libexec/gvisor/init"
"""The guest's first process."""
CONFIGURATION: Final = 3
"""Descriptor of the configuration disk in the guest's first process."""
_LIMITS: Final = {"RLIMIT_NOFILE": 1_048_576, "RLIMIT_FSIZE": 2**64 - 1}
"""Of the guest's processes; the sandbox's own would be theirs otherwise."""
_CAPABILITIES: Final = (
    *("AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF"),
    *("CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID"),
    *("IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE"),
    *("MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP"),
    *("SETGID", "SETPCAP", "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT"),
    *("SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE"),
    *("SYS_TIME", "SYS_TTY_CONFIG", "WAKE_ALARM"),
)
_MOUNTS: Final = (
    ("/proc", "proc", ("nosuid", "nodev", "noexec")),
    ("/sys", "sysfs", ("nosuid", "nodev", "noexec")),
    ("/sys/fs/cgroup", "cgroup", ("nosuid", "nodev", "noexec")),
    ("/dev", "tmpfs", ("nosuid",)),
    ("/dev/shm", "tmpfs", ("nosuid", "nodev", "mode=1777")),  # noqa: S108 - the guest's
    ("/run", "tmpfs", ("nosuid", "nodev", "mode=755", "size=64m")),
    ("/tmp", "tmpfs", ("nosuid", "nodev", "mode=1777")),  # noqa: S108 - the guest's
)
"""Path, type and options of each mount, as the guest's ``fstab`` has them under other drivers."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The descriptors that a sandbox inherits."""

    disks: Disks
    specification: int
    control: int
    """A listening socket."""
    null: tuple[int, int]
    """``/dev/null``, open for writing: the start signal, and standard error until init has its
    own."""

    @property
    def all(self) -> tuple[int, ...]:
        """All of them."""
        return (*self.disks.descriptors, self.specification, self.control, *self.null)


def specification(disk_bytes: int) -> dict[str, Any]:
    """Return the OCI specification of a machine."""
    names = [f"CAP_{name}" for name in _CAPABILITIES]
    return {
        "ociVersion": "1.2.0",
        "hostname": "machine",
        "root": {"path": "/", "readonly": True},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "cwd": "/",
            "args": [INIT],
            "env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C.UTF-8"],
            "capabilities": {
                kind: names for kind in ("bounding", "effective", "inheritable", "permitted")
            },
            "rlimits": [
                {"type": name, "soft": limit, "hard": limit} for name, limit in _LIMITS.items()
            ],
        },
        "mounts": [
            *(
                {"destination": path, "type": kind, "source": kind, "options": options}
                for path, kind, options in _MOUNTS
            ),
            {
                "destination": "/var",
                # Its only gofer mount: a tmpfs that keeps its contents in the machine's disk.
                "type": "bind",
                "source": "/var",
                "options": ["nosuid", "nodev", "mode=755", f"size={disk_bytes}"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "network", "ipc", "uts")]
        },
    }


def sandbox_argv(vcpus: int, memory_bytes: int, wires: Descriptors) -> list[str]:
    """Return the command that runs a sandbox until its first process ends."""
    return [
        PROGRAM,
        *("--platform=systrap", "--network=sandbox", "--in-sandbox-cgroup=v2"),
        # Inside, root may do what root of a machine may; it has no file of the host.
        *("--allow-suid", "--net-raw", "--allow-packet-socket-write"),
        *("--directfs=false", "--overlay2=none", "--ignore-cgroups"),
        # Of a panic only what the exit is classified by.
        "--traceback=single",
        "boot",
        *("--bundle=/", f"--spec-fd={wires.specification}", f"--controller-fd={wires.control}"),
        f"--start-sync-fd={wires.null[0]}",
        *(f"--io-fds={wires.disks.root}", f"--gofer-filestore-fds={wires.disks.data}"),
        "--gofer-mount-confs=erofs:none,none:anon",
        f"--pass-fd={wires.disks.configuration}:{CONFIGURATION}",
        *("--stdio-fds=0", "--stdio-fds=1", f"--stdio-fds={wires.null[1]}"),
        *(f"--cpu-num={vcpus}", f"--total-memory={memory_bytes}", "--product-name=machine"),
        CONTAINER,
    ]
