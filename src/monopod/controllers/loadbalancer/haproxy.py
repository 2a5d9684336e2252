"""Applies configuration to HAProxy through its files and its master's runtime socket.

A change of targets is sent to the running worker as commands. Any other change is a reload: the
master starts a new worker, which takes over the listening sockets, so no connection is refused; the
old worker exits after its last connection, after an hour in any case.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from monopod.controllers.loadbalancer import servers
from monopod.controllers.loadbalancer.errors import BalancingError, RejectedError
from monopod.controllers.loadbalancer.model import Balancer, HttpListener
from monopod.controllers.loadbalancer.render import VERSION_PREFIX, render
from monopod.util import process
from monopod.util.files import write_atomically

_FILE: Final = "balancers.cfg"
_OURS_AND_HAPROXYS: Final = 0o640
"""Files hold certificates' keys; the directory's setgid bit sets their group."""
_CERTIFICATE_SUFFIX: Final = ".pem"
_ANSWER_WITHIN_S: Final = 10.0
_RELOAD_WITHIN_S: Final = 20.0
_POLL_S: Final = 0.01
_MASTER: Final = re.compile(r"^\d+\s+master\s+(\d+)\s+\[failed: (\d+)\]", re.MULTILINE)
_AS_WANTED: Final = re.compile("New server|Server deleted")
_COMMANDS_AT_ONCE: Final = 16
"""Commands in one line, which has to fit in HAProxy's buffer."""
_WORKER: Final = "@1 "
"""The prefix of a command for the current worker."""
_log: Final = structlog.get_logger("haproxy")


@dataclass(frozen=True, slots=True)
class _Reloads:
    tried: int
    failed: int


class HAProxy:
    """A client of one HAProxy, which s6 supervises."""

    def __init__(self, base: Path, directory: Path, socket: Path) -> None:
        """Set its paths.

        Args:
            base: The static part of its configuration.
            directory: The directory of the rest, which we write.
            socket: Its master's runtime socket.
        """
        self._base = base
        self._directory = directory
        self._socket = socket

    async def apply(
        self, balancers: Sequence[Balancer], certificates: Mapping[str, bytes]
    ) -> servers.ServerStates:
        """Run exactly these load balancers. Idempotent.

        Args:
            balancers: All of them.
            certificates: Contents of the files that their listeners name; files not given must
                exist already.

        Returns:
            The state of their targets before this call's commands.

        Raises:
            RejectedError: HAProxy rejects the configuration; nothing has changed.
            BalancingError: HAProxy is unreachable, or a reload failed.
        """
        rendered = render(balancers, self._directory)
        for name, content in certificates.items():
            write_atomically(self._directory / name, content, mode=_OURS_AND_HAPROXYS)
        path = self._directory / _FILE
        if not path.exists() or path.read_text() != rendered.text:
            candidate = path.with_suffix(".new")
            write_atomically(candidate, rendered.text.encode(), mode=_OURS_AND_HAPROXYS)
            await self._check(candidate)
            candidate.rename(path)
        if await self._version() != rendered.version:
            await self._reload()
            _log.info("haproxy_reloaded", balancers=len(balancers), version=rendered.version)
            running = await self._version()
            if running != rendered.version:
                raise BalancingError(
                    f"HAProxy runs configuration {running} after a reload to {rendered.version}"
                )
        used = {*certificates, *_certificates(balancers)}
        for stale in set(self._directory.glob(f"*{_CERTIFICATE_SUFFIX}")):
            if stale.name not in used:
                stale.unlink()
        standing = servers.read(await self._ask(f"{_WORKER}show servers state"))
        commands = servers.changes(balancers, standing)
        for some in _batched(commands, _COMMANDS_AT_ONCE):
            said = await self._ask("; ".join(_WORKER + command for command in some))
            if odd := [line for line in said.splitlines() if line and not _AS_WANTED.match(line)]:
                _log.info("haproxy_command_answered", commands=some, answers=odd)
        return standing

    async def accepts(self, balancer: Balancer) -> bool:
        """Whether HAProxy accepts one load balancer alone; its certificate files must exist."""
        candidate = self._directory / "alone.new"
        content = render([balancer], self._directory).text.encode()
        write_atomically(candidate, content, mode=_OURS_AND_HAPROXYS)
        try:
            await self._check(candidate)
        except RejectedError:
            return False
        finally:
            candidate.unlink()
        return True

    async def _check(self, candidate: Path) -> None:
        try:
            await process.run("haproxy", "-c", "-q", "-f", self._base, "-f", candidate)
        except process.ProcessError as error:
            raise RejectedError(f"HAProxy rejects the configuration: {error}") from error

    async def _version(self) -> str:
        names = (await self._ask(f"{_WORKER}show backend")).split()
        return next((name for name in names if name.startswith(VERSION_PREFIX)), "")

    async def _reload(self) -> None:
        before = await self._reloads()
        await self._ask("reload")
        deadline = time.monotonic() + _RELOAD_WITHIN_S
        while time.monotonic() < deadline:
            try:
                now = await self._reloads()
            except BalancingError:
                # The socket is closed while the master re-executes itself.
                await asyncio.sleep(_POLL_S)
                continue
            if now.failed > before.failed:
                raise BalancingError(
                    "HAProxy did not start a new worker: see `monopod logs haproxy`"
                )
            if now.tried > before.tried:
                return
            await asyncio.sleep(_POLL_S)
        raise BalancingError(f"HAProxy did not reload within {_RELOAD_WITHIN_S:.0f} s")

    async def _reloads(self) -> _Reloads:
        said = await self._ask("show proc")
        found = _MASTER.search(said)
        if found is None:
            raise BalancingError(f"unexpected answer to HAProxy's `show proc`: {said!r}")
        return _Reloads(int(found[1]), int(found[2]))

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(f"{command}\n".encode())
                    writer.write_eof()
                    return (await reader.read()).decode(errors="replace")
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise BalancingError(
                f"cannot reach HAProxy's runtime socket: {error or 'timeout'}"
            ) from error


def _batched(commands: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield commands in order, in batches."""
    for start in range(0, len(commands), size):
        yield commands[start : start + size]


def _certificates(balancers: Sequence[Balancer]) -> Iterator[str]:
    for balancer in balancers:
        for listener in balancer.listeners:
            if isinstance(listener, HttpListener):
                yield from listener.certificates
