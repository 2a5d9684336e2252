"""Runs other programs; all of Monopod does so through this module.

Arguments are always a list, never a shell line. The error carries the program's output, so that a
failure explains itself where it is shown.
"""

import asyncio
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from monopod.errors import MonopodError

_SHOWN_OUTPUT_CHARS: Final = 4000
_SHOWN_LINE_CHARS: Final = 400
_CHUNK_BYTES: Final = 1 << 16


class ProcessError(MonopodError):
    """A program did not start or failed."""

    def __init__(
        self, argv: Sequence[str], returncode: int | None, stdout: str, stderr: str
    ) -> None:
        """Describe the failure.

        Args:
            argv: The program and its arguments.
            returncode: Its exit status, or the negative number of the signal that ended it. None
                means that it did not start or did not end in time, which ``stderr`` describes.
            stdout: What it printed.
            stderr: What it printed to standard error.
        """
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(str(self))

    def __str__(self) -> str:
        # Long lines, as a compiler's command, would leave no room for the cause.
        said = "\n".join(
            line if len(line) <= _SHOWN_LINE_CHARS else f"{line[:_SHOWN_LINE_CHARS]} ..."
            for line in (self.stderr.strip() or self.stdout.strip()).splitlines()
        )[-_SHOWN_OUTPUT_CHARS:]
        return f"{shlex.join(self.argv)} {self._outcome()}" + (f": {said}" if said else "")

    def _outcome(self) -> str:
        if self.returncode is None:
            return "failed"
        if self.returncode < 0:
            return f"was ended by signal {-self.returncode}"
        return f"exited with {self.returncode}"


async def run(
    *argv: str | Path,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float | None = None,
    pass_fds: Sequence[int] = (),
    fatal: re.Pattern[bytes] | None = None,
) -> str:
    """Run a program to completion and return its standard output.

    Args:
        argv: The program and its arguments.
        stdin: Bytes for its standard input; None means empty.
        env: Its whole environment; None means ours.
        cwd: Its working directory.
        timeout_s: Seconds after which it is killed.
        pass_fds: File descriptors it inherits.
        fatal: What it prints to standard error in a state that it would not leave; it is killed
            then. None means nothing.

    Raises:
        ProcessError: It did not start, exited with a status other than 0, was killed after it
            printed something fatal, or timed out.
    """
    words = [str(word) for word in argv]
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
        )
    except OSError as error:
        raise ProcessError(words, None, "", str(error)) from error
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await _communicate(child, stdin, fatal)
    except BaseException as error:
        await _kill(child)
        if isinstance(error, TimeoutError):
            raise ProcessError(words, None, "", f"timed out after {timeout_s} s") from error
        raise
    if child.returncode != 0:
        raise ProcessError(
            words, child.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        )
    return out.decode(errors="replace")


async def stream(
    *argv: str | Path,
    on_line: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a program to completion, passing each line of its merged output to ``on_line``.

    For long work that shows its progress.

    Raises:
        ProcessError: It did not start or exited with a status other than 0; holds its last lines.
    """
    words = [str(word) for word in argv]
    try:
        child = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=env,
            cwd=cwd,
            limit=1 << 20,
        )
    except OSError as error:
        raise ProcessError(words, None, "", str(error)) from error
    assert child.stdout is not None  # noqa: S101 - PIPE was asked for
    last: list[str] = []
    try:
        async for raw in child.stdout:
            line = raw.decode(errors="replace").rstrip()
            last = [*last[-40:], line]
            on_line(line)
        await child.wait()
    except BaseException:
        await _kill(child)
        raise
    if child.returncode != 0:
        raise ProcessError(words, child.returncode, "\n".join(last), "")


async def _communicate(
    child: asyncio.subprocess.Process, stdin: bytes | None, fatal: re.Pattern[bytes] | None
) -> tuple[bytes, bytes]:
    """Return what a program prints to standard output and error until it ends."""
    if fatal is None:
        return await child.communicate(stdin)
    stderr, child.stderr = child.stderr, None
    said = bytearray()

    async def listen() -> None:
        assert stderr is not None  # noqa: S101 - PIPE was asked for
        while chunk := await stderr.read(_CHUNK_BYTES):
            said.extend(chunk)
            if fatal.search(said):
                await _kill(child)

    (out, _), _ = await asyncio.gather(child.communicate(stdin), listen())
    return out, bytes(said)


async def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.kill()
        await child.wait()
