"""A minimal QMP client: one command and one answer at a time, over a machine's monitor socket.

A guest may have compromised QEMU, so answers are bounded in size and time, and untrusted.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from monopod.errors import MonopodError

_LONGEST_LINE: Final = 64 << 10
_MOST_EVENTS: Final = 100
_BACKLOG: Final = 2


class QmpError(MonopodError):
    """The monitor gave no answer, or an invalid one."""


class _Refusal(msgspec.Struct):
    desc: str = ""


class _Message(msgspec.Struct):
    """A message of a monitor: a greeting, an event or an answer."""

    event: str | None = None
    error: _Refusal | None = None
    result: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="return")


def listen(path: Path) -> socket.socket:
    """Create the listening socket of a machine's monitor, which only root can open.

    Raises:
        OSError: It cannot be created.
    """
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as name:
            made.bind(name)
        path.chmod(0o600)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


class Monitor:
    """An open connection to a monitor."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def greet(self) -> None:
        """Read the greeting and negotiate capabilities."""
        await self._read()
        await self.ask("qmp_capabilities")

    async def ask(self, command: str, **arguments: object) -> bytes:
        """Execute a command and return the answer as JSON, which is untrusted.

        Raises:
            QmpError: The command failed.
        """
        request: dict[str, object] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._writer.write(msgspec.json.encode(request) + b"\n")
        await self._writer.drain()
        for _ in range(_MOST_EVENTS):
            answer = await self._read()
            if answer.error is not None:
                raise QmpError(f"{command} failed: {answer.error.desc[:200]}")
            if answer.event is None:
                return bytes(answer.result)
        raise QmpError(f"{command} got no answer, only events")

    async def _read(self) -> _Message:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise QmpError("the monitor closed the connection")
        return msgspec.json.decode(line, type=_Message)


@asynccontextmanager
async def talk(path: Path, timeout_s: float) -> AsyncGenerator[Monitor]:
    """Connect to a machine's monitor, which serves one client at a time.

    Args:
        path: The monitor's socket.
        timeout_s: Timeout of the whole connection in seconds.

    Raises:
        QmpError: There is no monitor, its answers were invalid, or it timed out.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with _short(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=_LONGEST_LINE)
            try:
                monitor = Monitor(reader, writer)
                await monitor.greet()
                yield monitor
            finally:
                writer.transport.abort()
    except TimeoutError as error:
        raise QmpError(f"the monitor did not answer within {timeout_s:g} s") from error
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise QmpError(f"cannot talk to the monitor: {error}") from error


@contextmanager
def _short(path: Path) -> Generator[str]:
    """Yield an alias of a socket's path that is short enough for the kernel."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
