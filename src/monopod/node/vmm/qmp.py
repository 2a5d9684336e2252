"""QEMU's monitor, as far as it is needed: one question, one answer, over a socket of the machine's.

A guest may have taken QEMU over, so whatever comes back is read within bounds of size and time.
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
    """The monitor did not answer, or not as it should."""


class _Refusal(msgspec.Struct):
    desc: str = ""


class _Message(msgspec.Struct):
    """Anything a monitor says: a greeting, an event or an answer."""

    event: str | None = None
    error: _Refusal | None = None
    result: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="return")


def listen(path: Path) -> socket.socket:
    """Make the socket that a machine's monitor will answer on, for root alone.

    Raises:
        OSError: It cannot be made.
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
    """An open conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def greet(self) -> None:
        """Say what has to be said first."""
        await self._read()
        await self.ask("qmp_capabilities")

    async def ask(self, command: str, **arguments: object) -> bytes:
        """Give a command and return the answer as JSON, to be believed as little as its author.

        Raises:
            QmpError: It was refused.
        """
        request: dict[str, object] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        self._writer.write(msgspec.json.encode(request) + b"\n")
        await self._writer.drain()
        for _ in range(_MOST_EVENTS):
            answer = await self._read()
            if answer.error is not None:
                raise QmpError(f"{command} was refused: {answer.error.desc[:200]}")
            if answer.event is None:
                return bytes(answer.result)
        raise QmpError(f"{command} was answered with nothing but events")

    async def _read(self) -> _Message:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise QmpError("the monitor hung up")
        return msgspec.json.decode(line, type=_Message)


@asynccontextmanager
async def talk(path: Path, timeout_s: float) -> AsyncGenerator[Monitor]:
    """Talk to a machine's monitor, which listens to one at a time.

    Args:
        path: The monitor's socket.
        timeout_s: Seconds that the whole conversation may take.

    Raises:
        QmpError: There is no monitor, it made no sense, or it took too long.
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
        raise QmpError(f"the monitor cannot be talked to: {error}") from error


@contextmanager
def _short(path: Path) -> Generator[str]:
    """A name for a socket's path that is never too long for the kernel."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
