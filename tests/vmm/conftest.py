"""Machines of the real image in the real jail, with a socket pair as their network."""

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from monopod.build import components
from monopod.fargate.sizing import Size
from monopod.node.guest import GuestImage, create_configuration_disk, create_data_disk
from monopod.node.guest.image import provide
from monopod.node.vmm.cgroups import Cgroups
from monopod.node.vmm.console import tail
from monopod.node.vmm.driver import Machine
from monopod.node.vmm.gvisor import GvisorDriver
from monopod.node.vmm.map_count import max_map_count
from monopod.node.vmm.qemu import QemuDriver
from monopod.node.vmm.qemu_command import Accelerator
from monopod.node.vmm.uml import UmlDriver, largest_mappings
from monopod.node.vmm.watchdog import WatchdogTimeouts
from monopod.settings import Settings
from monopod.util.cgroups import Hierarchies
from tests.framework.eventually import eventually

UID = 1_000_070_321
MAC = "02:6d:64:40:09:09"
POD_MAC = "02:6d:c0:a8:09:09"


@pytest.fixture(scope="session")
def guest_image() -> Iterator[GuestImage]:
    """The image that clusters use; built now if it is not in the cache.

    While tests run it, the host lets machines have as many mappings as a cluster asks for.
    """

    async def have() -> GuestImage:
        settings = Settings()
        programs = await components.provide(settings)
        kubernetes = await components.module_directory("k8s.io/kubernetes", settings)
        pause = kubernetes / "build/pause/linux/pause.c"
        return await provide(settings.cache, programs.directory, pause)

    with max_map_count().held(largest_mappings()):
        yield asyncio.run(have())


@dataclass
class Bench:
    """A driver with its own home directory, and builders of machines for it."""

    home: Path
    image: GuestImage
    group: str = field(default_factory=lambda: f"monopod-test-{uuid4().hex[:8]}")

    def driver(self) -> UmlDriver:
        """Another one each time, as another process would have."""
        return UmlDriver(
            kernel=self.image.uml.directory,
            runtime=self.home / "uml",
            cgroups=self.cgroups,
            console_of=self.console_of,
        )

    def qemu(
        self, accelerator: Accelerator, patience: WatchdogTimeouts | None = None
    ) -> QemuDriver:
        """The same for QEMU."""
        return QemuDriver(
            accelerator,
            kernel=self.image.qemu.directory,
            runtime=self.home / "qemu",
            cgroups=self.cgroups,
            console_of=self.console_of,
            patience=patience or WatchdogTimeouts(),
        )

    def gvisor(self) -> GvisorDriver:
        """The same for gVisor."""
        return GvisorDriver(
            kernel=self.image.gvisor,
            runtime=self.home / "gvisor",
            cgroups=self.cgroups,
            console_of=self.console_of,
        )

    @property
    def cgroups(self) -> Cgroups:
        return Cgroups(Hierarchies.of_this_host(), self.group)

    def console_of(self, name: str) -> Path:
        return self.home / name / "console"

    async def printed(self, name: str, words: str) -> None:
        """Wait until a machine has printed something."""

        async def looked() -> bool:
            console = await asyncio.to_thread(tail, self.console_of(name))
            assert words in console
            return True

        await eventually(looked, f"{name} prints {words!r}", 120, every_s=0.05)

    async def machine(
        self, name: str, files: Mapping[str, bytes], *, milli_cpu: int = 250
    ) -> Machine:
        """A machine with its disks."""
        directory = self.home / name
        directory.mkdir()
        data, configuration = directory / "data.img", directory / "config.img"
        await create_data_disk(self.image.data_template, data, 20, UID)
        create_configuration_disk(configuration, {"hosts": b"127.0.0.1 localhost\n", **files}, UID)
        return Machine(
            name=name,
            uid=UID,
            size=Size(milli_cpu, 512),
            root_image=self.image.root_image,
            data_disk=data,
            config_disk=configuration,
            mac_addresses=(MAC, POD_MAC),
            console_directory=self.console_of(name),
        )

    async def launch(self, name: str, files: Mapping[str, bytes]) -> socket.socket:
        """A running machine; returns the other end of its management link."""
        (near, far), pod = (socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in "ab")
        machine = await self.machine(name, files)
        with far, pod[0], pod[1]:
            await self.driver().launch(machine, (far.fileno(), pod[1].fileno()))
        near.setblocking(False)
        return near


def scripted(script: str) -> dict[str, bytes]:
    """The configuration of a machine that runs this instead of its services."""
    return {"bake/run": script.encode()}


@pytest.fixture
async def bench(guest_image: GuestImage) -> AsyncIterator[Bench]:
    """Machines' home, in a place that other uids can reach; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="monopod-vmm-", dir="/var/tmp") as home:
        os.chmod(home, 0o755)  # noqa: PTH101, S103
        made = Bench(Path(home), guest_image)
        await made.driver().prepare()
        yield made
        for name in made.cgroups.names():
            await made.driver().stop(name)
        made.cgroups.remove_parent()


@pytest.fixture
def open_link() -> Iterator[socket.socket]:
    """A link without a listener."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far:
        yield far
