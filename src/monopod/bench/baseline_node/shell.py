"""Namespaces, mounts and process tree of a baseline node.

All of it depends on one process that ends when ours does, however ours ends: it is the first of its
pid namespace, so the kernel then kills every other, and releases their mounts and network.
"""

import asyncio
import shlex
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from monopod.bench.baseline_node.configuration import (
    PROGRAMS,
    SERVICES,
    TUNABLES,
    WHOLE_PROC,
    tunable_copy,
)
from monopod.bench.errors import BenchError
from monopod.node.net.namespaces import Namespace
from monopod.util.process import run

_OWN: Final = ("run", "tmp", "var")
"""Directories that the node has instead of the host's."""
_UNSHARED: Final = "unshared"
_UNSHARED_WITHIN_S: Final = 30.0


class Shell:
    """The first process of a node's namespaces."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child

    @classmethod
    async def start(
        cls, root: Path, hostname: str, programs: Path, cgroup_files: Sequence[Path]
    ) -> "Shell":
        """Create the namespaces and wait in them, before any process of the node starts.

        Args:
            root: Directory that becomes ``/run``, ``/tmp`` and ``/var``.
            hostname: The node's host name.
            programs: Directory of component programs.
            cgroup_files: Files by which a process joins the node's cgroups.

        Raises:
            BenchError: This host does not allow the namespaces.
        """
        child = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--mount", "--net", "--pid", "--ipc", "--uts"),
            *("--fork", "--kill-child=KILL", "--mount-proc"),
            *("/bin/sh", "-euc", script(hostname, programs, cgroup_files)),
            cwd=root,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        shell = cls(child)
        try:
            async with asyncio.timeout(_UNSHARED_WITHIN_S):
                said = await shell._until_unshared()
        except BaseException:
            await shell.kill()
            raise
        if said:
            await shell.kill()
            raise BenchError(f"cannot create node {hostname}'s namespaces: {said}")
        return shell

    @property
    def network(self) -> Namespace:
        """The node's network namespace."""
        return Namespace(Path(f"/proc/{self._child.pid}/ns/net"))

    @property
    def runs(self) -> bool:
        """Whether the process is running."""
        return self._child.returncode is None

    async def release(self) -> None:
        """Start the node's services; the network must be ready."""
        if self._child.stdin is None:
            return
        self._child.stdin.write(b"\n")
        await self._child.stdin.drain()
        self._child.stdin.close()

    async def run_inside(self, *argv: str | Path) -> str:
        """Run a program in the node's namespaces of mounts, network and processes.

        Raises:
            ProcessError: The program failed.
        """
        own = f"/proc/{self._child.pid}/ns"
        spaces = (f"--mount={own}/mnt", f"--net={own}/net", f"--pid={own}/pid_for_children")
        return await run("nsenter", *spaces, "--", *argv)

    async def kill(self) -> None:
        """Kill every process of the node. Idempotent."""
        with suppress(ProcessLookupError):
            self._child.kill()
        await self._child.wait()

    async def _until_unshared(self) -> str:
        """Wait for the ready line; returns the output before it if it does not come, or ``""``."""
        if self._child.stdout is None:
            return "no output"
        said: list[str] = []
        while line := (await self._child.stdout.readline()).decode(errors="replace"):
            if line.strip() == _UNSHARED:
                return ""
            said.append(line.strip())
        return "; ".join(said) or "it exited without output"


def script(hostname: str, programs: Path, cgroup_files: Iterable[Path]) -> str:
    """Return the shell script of the first process, run in the node's directory, that execs s6."""
    quote = shlex.quote
    own_programs = str(PROGRAMS).lstrip("/")
    lines = [f"echo 0 >{quote(str(file))}" for file in cgroup_files]
    # The node's directory may lie below one that is about to be covered by a mount: so the paths
    # are relative to the working directory, and mount(8) must not resolve them.
    lines += [f"mount --no-canonicalize --bind {quote(str(programs))} {own_programs}"]
    lines += [f"mount --no-canonicalize --rbind {name} /{name}" for name in _OWN]
    lines += [f"mount -t proc proc {WHOLE_PROC}"]
    lines += [f"mount --bind {tunable_copy(name)} /proc/sys/{name}" for name in sorted(TUNABLES)]
    lines += [
        f"echo {quote(hostname)} >/proc/sys/kernel/hostname",
        "cd /",
        f"echo {_UNSHARED}",
        "read -r go",
        f"exec s6-svscan {SERVICES} <>/dev/null >/dev/null 2>&1",
    ]
    return "\n".join(lines)
