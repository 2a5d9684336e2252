"""The ``gvisor`` driver: a guest whose kernel is gVisor's sentry, a process of the host.

It needs no hardware virtualisation, and system calls of a guest's processes are cheaper than under
User Mode Linux. A machine has any number of processors.
"""

import asyncio
import io
import json
import os
import resource
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from monopod.fargate.sizing import Size
from monopod.node.vmm import console, seccomp, urpc
from monopod.node.vmm.cgroups import Cgroups, Limits
from monopod.node.vmm.disks import open_disks
from monopod.node.vmm.driver import LinkKind, Machine, MachineExit, VmmError
from monopod.node.vmm.gvisor_command import (
    CONTAINER,
    PROGRAM,
    Descriptors,
    sandbox_argv,
    specification,
)
from monopod.node.vmm.gvisor_network import network_arguments
from monopod.node.vmm.launcher import Invocation, Launcher, VmmProgram
from monopod.node.vmm.publish import publish
from monopod.util.files import write_atomically

_MIB: Final = 1 << 20
MAX_MILLI_CPU: Final = 16_000
"""The largest machine, in thousandths of a vCPU."""
ROOT_IMAGE: Final = "root.erofs"
_HOST_FILES: Final = ("proc/cpuinfo", "proc/sys/vm/mmap_min_addr")
"""What the sentry reads of the host: copies, so that its jail needs no ``/proc``."""
_OPEN_FILES: Final = 65_536
"""One for each stub process, and a few."""
_ANSWER_S: Final = 30.0
_GROWTH_BYTES: Final = 2 << 30
"""The sentry extends its memory and disk files, which have holes, by 1 GiB at a time."""
_NOTIFICATIONS: Final = (0xC0502100, 0xC0182101, 0x40082104)
"""``SECCOMP_IOCTL_NOTIF_RECV``, ``_SEND`` and ``_SET_FLAGS``: how a stub's threads wake it."""
_SOL_PACKET: Final = 263
_PACKET_FANOUT: Final = 18
ALLOWED: Final = seccomp.Extra(
    (
        # its own filters, far stricter than this one, and those of its stub processes
        "seccomp",
        # stub processes: one for each address space in the guest, which runs the guest's code
        *("ptrace", "rt_tgsigqueueinfo", "setpriority", "setsid", "tkill", "waitid"),
        *("getcpu", "getpriority", "membarrier"),
        # its link, its disk
        *("preadv2", "pwritev2", "recvmmsg", "sendmmsg"),
    ),
    ioctls=_NOTIFICATIONS,
    # It joins its link's sockets in a group, also if there is one only.
    socket_options=((_SOL_PACKET, _PACKET_FANOUT),),
)
"""The system calls that it needs beyond those common to all VMMs."""


@dataclass(frozen=True, slots=True)
class GvisorDriver:
    """Runs machines as gVisor sandboxes, each in its own jail.

    The root image is an EROFS file, mapped by all sandboxes. ``/var`` is a file system of the
    sentry that keeps its contents in the machine's data disk, which starts empty.
    """

    kernel: Path
    """Directory with ``runsc`` and the root image; only this process needs to reach it."""
    runtime: Path
    """Directory that every uid can reach; ``runsc`` is published there for the jails."""
    cgroups: Cgroups
    console_of: Callable[[str], Path]
    """Returns a machine's console directory, also if another process launched the machine."""
    name: str = field(default="gvisor", init=False)
    max_milli_cpu: int = field(default=MAX_MILLI_CPU, init=False)
    link_kind: LinkKind = field(default=LinkKind.PACKET, init=False)
    has_template: bool = field(default=False, init=False)

    async def prepare(self) -> None:
        """Check that this host can run such machines by starting ``runsc`` in a jail.

        Raises:
            VmmError: It cannot; the message names all that is missing.
        """
        self._launcher.check({})
        await asyncio.to_thread(self._publish)
        await self._launcher.try_out(self._vmm, PROGRAM, "--version")

    async def launch(self, machine: Machine, links: Sequence[int]) -> None:
        """Start a machine in its jail; it outlives this process.

        :meth:`watch` reports a guest that fails later, even at once.

        Raises:
            VmmError: It could not be started; nothing of it is left running.
        """
        if machine.size.milli_cpu > self.max_milli_cpu:
            raise VmmError(
                f"{machine.name} needs {machine.size.milli_cpu}m CPU; {self.name} supports at most "
                f"{self.max_milli_cpu}m per machine"
            )
        if self.cgroups.is_populated(machine.name):
            raise VmmError(f"the machine {machine.name} already runs")
        try:
            listening, client = urpc.connected()
        except OSError as error:
            raise VmmError(f"{machine.name} cannot be launched: {error}") from error
        with client:
            with listening, invocation(machine, self.kernel, listening.fileno()) as start:
                await self._launcher.launch(machine, self._vmm, start)
            try:
                await hand_over(client, machine, links)
            except VmmError as error:
                end = console.last_lines(console.tail(machine.console_directory))
                await self.stop(machine.name)
                raise VmmError(f"{error}: {end}") from error
            except BaseException:
                await self.stop(machine.name)
                raise

    async def watch(self, name: str) -> MachineExit:
        """Wait until this machine has no process, also if another process launched it."""
        return await self._launcher.watch(name)

    async def stop(self, name: str) -> None:
        """Kill every process of this machine and wait for their end. Idempotent."""
        await self._launcher.stop(name)

    def set_cpu_quota(self, name: str, milli_cpu: int) -> None:
        """Limit a machine's CPU to its provisioned amount and the platform's share."""
        self._launcher.set_cpu_quota(name, milli_cpu)

    def _publish(self) -> None:
        publish({Path("runsc"): self.kernel / "runsc"}, self.runtime)
        for name in _HOST_FILES:
            copy = self.runtime / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(copy, Path("/", name).read_bytes(), mode=0o444)

    @property
    def _launcher(self) -> Launcher:
        return Launcher(self.cgroups, self.console_of)

    @property
    def _vmm(self) -> VmmProgram:
        files = {f"/{name}": self.runtime / name for name in ("runsc", *_HOST_FILES)}
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        return VmmProgram(files, ALLOWED, open_files=min(_OPEN_FILES, most))


@contextmanager
def invocation(machine: Machine, kernel: Path, control: int) -> Generator[Invocation]:
    """Open what a sandbox inherits, for the length of a block.

    Args:
        machine: The machine, whose disks exist.
        kernel: Directory with the root image.
        control: A listening socket, for :func:`hand_over`.

    Raises:
        VmmError: A disk cannot be opened.
    """
    vcpus = processors(machine.size.milli_cpu)
    memory_bytes = machine.size.memory_mib * _MIB
    limit_bytes = memory_bytes + overhead_mib(machine.size) * _MIB
    with ExitStack() as stack:
        disks = stack.enter_context(open_disks(replace(machine, root_image=kernel / ROOT_IMAGE)))
        disk_bytes = os.fstat(disks.data).st_size
        wires = Descriptors(
            disks,
            stack.enter_context(_specification(disk_bytes)).fileno(),
            control,
            (
                stack.enter_context(_null()).fileno(),
                stack.enter_context(_null()).fileno(),
            ),
        )
        yield Invocation(
            command=sandbox_argv(vcpus, memory_bytes, wires),
            descriptors=wires.all,
            limits=Limits(vcpus * 1000, limit_bytes, processes(machine.size)),
            temporary_bytes=_MIB,
            largest_file_bytes=max(2 * limit_bytes, disk_bytes) + _GROWTH_BYTES,
        )


async def hand_over(client: socket.socket, machine: Machine, links: Sequence[int]) -> None:
    """Give a sandbox its links and start its guest.

    Raises:
        VmmError: The sandbox refused, ended or did not answer in time.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            network = network_arguments(machine)
            await urpc.call(client, "containerManager.SetNetworkArgs", network, links)
            await urpc.call(client, "containerManager.StartRoot", CONTAINER)
    except (urpc.UrpcError, TimeoutError) as error:
        why = str(error) or f"the sandbox did not answer for {_ANSWER_S:g} s"
        raise VmmError(f"{machine.name} cannot be launched: {why}") from error


def processors(milli_cpu: int) -> int:
    """Return the number of processors of the guest."""
    return max(1, -(-milli_cpu // 1000))


def guest_processes(size: Size) -> int:
    """Return the number of processes and threads that a guest may have.

    A pod has at most 2,048 for each vCPU, and 512 and one for each MiB; 512 more are the machine's.
    """
    return 512 + min(2048 * processors(size.milli_cpu), 512 + size.memory_mib)


def processes(size: Size) -> int:
    """Return a VMM's limit of processes and threads: two for each of the guest's (measured)."""
    return 128 + 2 * guest_processes(size)


def overhead_mib(size: Size) -> int:
    """Return the memory of a VMM on the host beyond its guest's memory.

    0.36 MiB for each process of the guest (measured with 520), most of it the host kernel's.
    """
    return 192 + guest_processes(size) * 3 // 8


def _specification(disk_bytes: int) -> io.FileIO:
    file = io.FileIO(os.memfd_create("specification"), "r+")
    file.write(json.dumps(specification(disk_bytes)).encode())
    file.seek(0)
    return file


def _null() -> io.FileIO:
    return io.FileIO(os.devnull, "w")
