"""The s6 supervision tree: writes the scan directory and reads the supervisors' status.

The tree of supervisors has its own session and cgroup and outlives the command that started it.
Monopod has no restart loop: s6-supervise restarts what ended, at most once a second.
"""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from monopod.controlplane import execline, sandbox, seccomp
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.service import NOTIFY_FD, Role, Service
from monopod.controlplane.service_groups import Limits, ServiceGroups
from monopod.util.concurrency import run_concurrently
from monopod.util.files import write_atomically
from monopod.util.process import ProcessError, run

_LOG_FILE_BYTES: Final = 2_000_000
_LOG_FILES: Final = 5
_STATUS_FIELDS: Final = "up,ready,pid,updownfor,exitcode,signal"
OOM_SCORE_ADJUSTMENT: Final = -900
"""Of the control plane: all machines and the host's other processes are killed before it."""
_OWN_PID: Final = "MONOPOD_PID"
"""The variable for it in scripts, which is unset before a service runs."""
_START_DEADLINE_S: Final = 10.0
_POLL_S: Final = 0.02
_RESTART_DEADLINE_S: Final = 20.0
_STOP_DEADLINE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class State:
    """What s6 reports of one service."""

    up: bool
    ready: bool
    """Whether it notified that it is ready; only for a service that ``notifies``."""
    pid: int | None
    since_s: int
    """Seconds in this state."""
    last_exit: str
    """How it ended, if it is down: ``exit 1``, ``SIGKILL``."""


class Supervisor:
    """The supervision tree of one cluster."""

    def __init__(
        self,
        services: Path,
        logs: Path,
        log_uid: int,
        groups: ServiceGroups,
        limits: Mapping[Role, Limits],
    ) -> None:
        self._services = services
        self._logs = logs
        self._log_uid = log_uid
        self._groups = groups
        self._limits = limits

    async def apply(self, services: Sequence[Service], restart: Collection[str] = ()) -> None:
        """Run these services; unchanged ones, and services not listed, are left alone.

        Args:
            services: The desired services.
            restart: Names of services to restart even if unchanged.

        Raises:
            ClusterError: The supervisors could not be started, or an s6 command failed.
        """
        self._services.mkdir(mode=0o700, exist_ok=True)
        self._logs.mkdir(mode=0o711, exist_ok=True)
        existing = self._names()
        if not self.running():
            # Supervisors whose root was killed still lock their service directories.
            await self._groups.all.destroy(_START_DEADLINE_S)
        for service in services:
            self._groups.limit(service.name, self._limits[service.role])
        changed = {service.name for service in services if self._write(service)}
        changed |= {service.name for service in services if service.name in restart}
        try:
            if not self.running():
                await self._start()
                return
            await run("s6-svscanctl", "-a", self._services)
        except ProcessError as error:
            raise ClusterError(f"s6 command failed: {error}") from error
        # Until another process has started, s6 would report the old one as ready.
        await run_concurrently(*(self.restart(name) for name in changed & existing))

    async def restart(self, name: str) -> None:
        """Kill a service and wait until its supervisor has started another process.

        Raises:
            ClusterError: It was not restarted within 20 s.
        """
        before = await self.state(name)
        try:
            await run("s6-svc", "-k", self._services / name)
        except ProcessError as error:
            raise ClusterError(f"{name} was not restarted: {error}") from error
        killed = before.pid if before is not None else None
        deadline = time.monotonic() + _RESTART_DEADLINE_S
        while (now := await self.state(name)) is None or now.pid in (None, killed):
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"{name} was not restarted within {_RESTART_DEADLINE_S:.0f} s:"
                    f" see `monopod logs {name}`"
                )
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stop all services, each by SIGTERM, and their supervisors; returns after 15 s at most.

        What has not ended by then is left for the caller to kill.
        """
        with contextlib.suppress(ProcessError):
            await run("s6-svscanctl", "-t", self._services)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await self._groups.all.wait_empty()

    async def prune(self, wanted: Collection[str]) -> None:
        """Stop and remove all services except these."""
        for name in self._names() - set(wanted):
            for part in (self._services / name, self._services / name / "log"):
                with contextlib.suppress(ProcessError):
                    await run("s6-svc", "-wD", "-T", "5000", "-dk", part)
            shutil.rmtree(self._services / name, ignore_errors=True)
            with contextlib.suppress(ProcessError):
                await run("s6-svscanctl", "-an", self._services)

    def _names(self) -> set[str]:
        if not self._services.exists():
            return set()
        return {path.name for path in self._services.iterdir() if not path.name.startswith(".")}

    def running(self) -> bool:
        """Whether the root of the supervision tree runs."""
        control = self._services / ".s6-svscan" / "control"
        try:
            # Only a reader at the other end lets a FIFO be opened this way.
            os.close(os.open(control, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    async def state(self, name: str) -> State | None:
        """Return the state of a service; None means that it is not supervised."""
        try:
            said = await run("s6-svstat", "-o", _STATUS_FIELDS, self._services / name)
        except ProcessError:
            return None
        up, ready, pid, since, code, signal = said.split()
        ended = "" if up == "true" else (signal if signal != "NA" else f"exit {code}")
        return State(
            up=up == "true",
            ready=ready == "true",
            pid=int(pid) if int(pid) > 0 else None,
            since_s=int(since),
            last_exit=ended,
        )

    def log(self, name: str) -> Path:
        """The file with the newest lines of a service's log."""
        return self._logs / name / "current"

    def last_lines(self, name: str, count: int) -> list[str]:
        """Return the last lines of a service's log, for use in an error message."""
        try:
            return self.log(name).read_text(errors="replace").splitlines()[-count:]
        except OSError:
            return []

    async def _start(self) -> None:
        self._groups.supervisors.create()
        launcher = self._services / ".launch"
        launcher.write_text(self._launch_script())
        launcher.chmod(0o700)
        await run("setsid", "--fork", launcher)
        deadline = time.monotonic() + _START_DEADLINE_S
        while not self.running():
            if time.monotonic() > deadline:
                said = "\n".join(self.last_lines("supervisor", 5))
                raise ClusterError(
                    f"s6-svscan did not start within {_START_DEADLINE_S:.0f} s: {said}"
                )
            await asyncio.sleep(_POLL_S)

    def _launch_script(self) -> str:
        directory = self._logs / "supervisor"
        directory.mkdir(mode=0o700, exist_ok=True)
        own_pid, procs = _OWN_PID, str(self._groups.supervisors.procs)
        return (
            "#!/usr/bin/execlineb -P\n"
            f"redirfd -w 1 {execline.quote(str(directory / 'current'))}\n"
            "fdmove -c 2 1\n"
            f"getpid -E {own_pid}\n"
            f"foreground {{ redirfd -w 1 {execline.quote(procs)} echo ${own_pid} }}\n"
            # Inherited by every service; without the right to it, the kernel's default stays.
            f"foreground {{ redirfd -w 1 /proc/${{{own_pid}}}/oom_score_adj"
            f" echo {OOM_SCORE_ADJUSTMENT} }}\n"
            f"s6-svscan -t 0 {execline.quote(str(self._services))}\n"
        )

    def _write(self, service: Service) -> bool:
        """Write a service directory; return whether the way the service runs changed."""
        log_directory = self._logs / service.name
        log_directory.mkdir(mode=0o700, exist_ok=True)
        os.chown(log_directory, self._log_uid, self._log_uid)
        directory = self._services / service.name
        _write_file(directory / "log" / "run", log_script(log_directory, self._log_uid), 0o700)
        if service.notifies:
            _write_file(directory / "notification-fd", f"{NOTIFY_FD}\n", 0o600)
        seccomp_file = directory / "seccomp" if service.confined else None
        text = run_script(service, self._groups.procs(service.name), seccomp_file)
        changed = [_write_file(directory / "run", text, 0o700)]
        if seccomp_file is not None:
            changed.append(write_atomically(seccomp_file, seccomp.program(), mode=0o600))
        if service.configured is not None:
            changed += [
                _write_file(service.configured / name, text, 0o644)
                for name, text in service.configuration.items()
            ]
        return any(changed)


def run_script(
    service: Service, procs: Sequence[Path] = (), seccomp_file: Path | None = None
) -> str:
    """Return the run script of a service; its output goes to its log.

    Args:
        service: The service.
        procs: The files through which it joins its cgroups.
        seccomp_file: The file with its filter; None means no filter.
    """
    prepare: list[Sequence[str]] = [
        ("redirfd", "-w", "1", str(path), "echo", f"${{{_OWN_PID}}}") for path in procs
    ]
    if service.socket:
        prepare.append(("rm", "-f", str(service.socket)))
    if service.prepare:
        once = replace(service, argv=service.prepare)
        prepare.append(sandbox.command(once, seccomp_file))
    return execline.script(
        ("fdmove", "-c", "2", "1"),
        sandbox.command(service, seccomp_file),
        first=(("getpid", "-E", _OWN_PID),) if procs else (),
        prepare=prepare,
    )


def log_script(directory: Path, uid: int) -> str:
    """Return the run script of a service's logger: rotated, bounded, not root."""
    return execline.script(
        ("s6-applyuidgid", "-u", str(uid), "-g", str(uid), "-G", ""),
        ("s6-log", "-b", f"n{_LOG_FILES}", f"s{_LOG_FILE_BYTES}", str(directory)),
    )


def _write_file(path: Path, text: str, mode: int) -> bool:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    return write_atomically(path, text.encode(), mode=mode)
