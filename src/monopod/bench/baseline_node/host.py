"""The daemons of a node in their namespaces, of whichever cluster: start, images and removal."""

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from monopod.bench.baseline_node import configuration
from monopod.bench.baseline_node.cgroups import CgroupTree
from monopod.bench.baseline_node.configuration import BaselineConfiguration
from monopod.bench.baseline_node.shell import Shell
from monopod.bench.baseline_node.wiring import Wire
from monopod.bench.errors import BenchError
from monopod.node.guest.kubelet import RUNTIME_SOCKET
from monopod.node.net.namespaces import Namespace
from monopod.util.process import ProcessError

_RUNTIME_WITHIN_S: Final = 30.0
_DEAD_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Image:
    """A container image that the node imports at its start."""

    reference: str
    archive: bytes | Path
    """An OCI or Docker archive, or its path."""


class NodeHost:
    """The namespaces, cgroups, directory and link of one node, with its containerd and kubelet."""

    def __init__(
        self, name: str, *, root: Path, programs: Path, cgroup: str, wire: Wire, router: Namespace
    ) -> None:
        """Describe the host; ``start`` makes it.

        Args:
            name: The node's name, which is the host's too.
            root: The directory of its ``/run``, ``/tmp`` and ``/var``.
            programs: Directory of the component programs.
            cgroup: Its path in every cgroup hierarchy.
            wire: Its link.
            router: The network namespace that the link leads to.
        """
        self.name = name
        self.wire = wire
        self.cgroup = cgroup
        self._root = root
        self._programs = programs
        self._cgroups = CgroupTree(cgroup)
        self._router = router
        self._shell: Shell | None = None

    @property
    def runs(self) -> bool:
        """Whether its first process is running."""
        return self._shell is not None and self._shell.runs

    @property
    def shell(self) -> Shell:
        """Its first process.

        Raises:
            BenchError: It is not running.
        """
        if self._shell is None:
            raise BenchError(f"node {self.name} is not running: start it first")
        return self._shell

    async def boot(self, node: BaselineConfiguration) -> None:
        """Start containerd and the kubelet; ``/var`` is as an earlier start left it.

        Raises:
            BenchError: This host does not allow it.
            NetworkError: The router's namespace does not exist.
        """
        await asyncio.to_thread(self._furnish, node)
        joins = self._cgroups.create()
        shell = await Shell.start(self._root, self.name, self._programs, joins)
        self._shell = shell
        await self.wire.connect(self._router, shell.network)
        await shell.release()

    async def import_image(self, image: Image) -> None:
        """Import an image once containerd serves.

        Raises:
            BenchError: containerd does not start or rejects the archive.
        """
        shell = self.shell
        deadline = time.monotonic() + _RUNTIME_WITHIN_S
        socket = self.host_path(RUNTIME_SOCKET)
        while not socket.exists():
            if time.monotonic() > deadline or not shell.runs:
                raise self.late("containerd", _RUNTIME_WITHIN_S)
            await asyncio.sleep(_POLL_S)
        archive = configuration.image_archive(image.reference)
        target = self.host_path(archive)
        if isinstance(image.archive, Path):
            await asyncio.to_thread(shutil.copyfile, image.archive, target)
        else:
            await asyncio.to_thread(target.write_bytes, image.archive)
        try:
            await shell.run_inside(
                str(configuration.PROGRAMS / "ctr"),
                f"--address={RUNTIME_SOCKET}",
                "--namespace=k8s.io",
                *("images", "import", "--snapshotter=overlayfs", str(archive)),
            )
        except ProcessError as error:
            raise BenchError(f"cannot import image {image.reference}: {error}") from error
        finally:
            target.unlink(missing_ok=True)

    async def kill(self) -> None:
        """Remove the link, then kill every process: none can say goodbye. Idempotent.

        Raises:
            BenchError: A process did not end.
        """
        await self.wire.disconnect(self._router)
        if self._shell is not None:
            await self._shell.kill()
            self._shell = None
        await self._cgroups.destroy(_DEAD_WITHIN_S)

    async def remove(self) -> None:
        """Remove everything of it, even if its first process was killed. Idempotent.

        Raises:
            BenchError: Something cannot be removed.
        """
        await self.kill()
        if self._root.exists():
            await asyncio.to_thread(shutil.rmtree, self._root)

    def host_path(self, path: PurePosixPath) -> Path:
        """Return where a path inside ``/run``, ``/tmp`` or ``/var`` of the node is."""
        return self._root / path.relative_to("/")

    def log(self, service: str) -> str:
        """Return the newest part of a daemon's log."""
        log = self.host_path(configuration.LOGS / service / "current")
        return log.read_text(errors="replace") if log.exists() else ""

    def late(self, service: str, seconds: float) -> BenchError:
        """Return the error of a daemon that is not ready, with the end of its log."""
        lines = self.log(service).splitlines()
        said = "\n".join(lines[-_LOG_LINES:]) or "(the log is empty)"
        return BenchError(
            f"{service} of node {self.name} is not ready after {seconds:.0f} s; its log ends:\n"
            f"{said}"
        )

    def _furnish(self, node: BaselineConfiguration) -> None:
        """Write the node's files below its root, which only root may enter."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        for volatile in configuration.VOLATILE:
            if (directory := self.host_path(volatile)).exists():
                shutil.rmtree(directory)
        for directory in configuration.directories():
            self.host_path(directory).mkdir(parents=True, exist_ok=True)
        for path, file in configuration.files(node).items():
            target = self.host_path(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch(mode=file.mode)
            target.write_bytes(file.content)
        for path, leads_to in configuration.links().items():
            link = self.host_path(path)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(leads_to)
