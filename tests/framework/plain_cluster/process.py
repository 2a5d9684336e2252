"""One process of the control plane: it ends with this process, and can be killed and restarted."""

import asyncio
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.node.net.namespaces import Namespace
from tests.framework.eventually import eventually

_START_TIMEOUT_S: Final = 180.0
_LOG_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Command:
    """What a process runs, and where it answers that it is ready."""

    program: Path
    flags: Mapping[str, object]
    ready: str = ""
    """URL that answers with status 200 once it is ready."""
    configuration: Mapping[Path, str] | None = None
    """Files that it reads."""
    dash: str = "--"

    @property
    def words(self) -> Sequence[str]:
        """The command line."""
        return (
            str(self.program),
            *(f"{self.dash}{name}={value}" for name, value in self.flags.items()),
        )


class Process:
    """A process in the control plane's namespace."""

    def __init__(self, name: str, command: Command, namespace: Namespace, log: Path) -> None:
        self.name = name
        self.command = command
        self.log = log
        self._namespace = namespace
        self._child: asyncio.subprocess.Process | None = None

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.returncode is None

    @property
    def pid(self) -> int | None:
        """Its process id; None before its first start."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it unless it runs, and wait until it is ready."""
        if not self.runs:
            for path, content in (self.command.configuration or {}).items():
                path.write_text(content)
            with self.log.open("ab") as output:
                # The kernel ends the child should this process be killed before it can.
                self._child = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("nsenter", f"--net={self._namespace.path}"),
                    *self.command.words,
                    cwd=self.log.parent,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=asyncio.subprocess.STDOUT,
                )
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait until it is ready, if it says so.

        Raises:
            RuntimeError: It ended; the message ends with its log.
        """

        async def ready() -> bool:
            if not self.runs:
                raise RuntimeError(f"{self.name} exited: {self.log.read_text()[-_LOG_CHARS:]}")
            return not self.command.ready or await asyncio.to_thread(_answers, self.command.ready)

        what = f"{self.name} is ready (its log is {self.log})"
        await eventually(ready, what, _START_TIMEOUT_S, every_s=0.05, errors=(OSError,))

    async def kill(self) -> None:
        """Kill it. Idempotent."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.kill()
            await self._child.wait()

    async def restart(self) -> None:
        """Kill it, start it again and wait until it is ready."""
        await self.kill()
        await self.start()


def _answers(url: str) -> bool:
    context = ssl.create_default_context()
    # What is asked for is no secret, and some servers sign their certificates themselves.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, context=context, timeout=2) as answer:  # noqa: S310
        return answer.status == 200
