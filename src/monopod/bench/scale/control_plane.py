"""The run's control plane: etcd, kube-apiserver and the signer of certificates, on the loopback.

It is none of the host's clusters and is gone with the run. It has no webhooks, and of upstream's
controllers the one without which no machine starts.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from monopod.bench.errors import BenchError
from monopod.bench.scale.calls import (
    ADMIN,
    KUBELETS,
    MICROVM,
    SCHEDULER,
    Call,
    audit_policy,
    call_of,
)
from monopod.bench.scale.flags import LOOPBACK, api_server_flags, etcd_flags, signer_flags
from monopod.build.components import Components
from monopod.identity.authority import Authority, Subject, new_authority
from monopod.identity.kubeconfig import render
from monopod.kube import Client, KubeError, connect
from monopod.kube.daemon import NOTIFY_FD_VARIABLE
from monopod.util.process import run

API_SERVER: Final = "kube-apiserver"
ETCD: Final = "etcd"
SIGNER: Final = "kube-controller-manager"
_MASTERS: Final = "system:masters"
_READY_WITHIN_S: Final = 60.0
_POLL_S: Final = 0.1
_LINE_BYTES: Final = 1 << 20
_LOG_CHARS: Final = 2000
_USERS: Final = {
    "admin": Subject(ADMIN, _MASTERS),
    "kubelets": Subject(KUBELETS, _MASTERS),
    "microvm": Subject(MICROVM),
    "scheduler": Subject(SCHEDULER),
    SIGNER: Subject(SIGNER, _MASTERS),
}
"""The users by the directories of their kubeconfigs."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running control plane and the processes that use it."""

    directory: Path
    """All state; it serves as ``MONOPOD_HOME`` of Monopod's processes."""
    url: str
    processes: dict[str, int] = field(default_factory=dict[str, int])
    """Process ids by name."""
    calls: Counter[Call] = field(default_factory=Counter[Call])
    """Calls of the API since the start."""

    def kubeconfig(self, user: str) -> Path:
        """Return the kubeconfig of a user by the name of its directory."""
        return self.directory / "identities" / user / "kubeconfig"

    @asynccontextmanager
    async def running(
        self, name: str, module: str, *arguments: object, **settings: object
    ) -> AsyncGenerator[None]:
        """Run one of Monopod's processes for the length of a block; entered when it is ready.

        Args:
            name: For logs and reports.
            module: Run by ``python -m``.
            arguments: Its arguments.
            settings: Its environment variables; of ours, those named ``MONOPOD_…`` are left out.

        Raises:
            BenchError: It ended before it was ready.
        """
        own = {key: value for key, value in os.environ.items() if not key.startswith("MONOPOD_")}
        read, write = os.pipe()
        environment = own | {key: str(value) for key, value in settings.items()}
        environment |= {"MONOPOD_HOME": str(self.directory), NOTIFY_FD_VARIABLE: str(write)}
        command = (sys.executable, "-m", module, *map(str, arguments))
        try:
            async with self.process(name, command, environment, pass_fds=(write,)):
                os.close(write)
                if not await asyncio.to_thread(os.read, read, 1):
                    raise BenchError(f"{name} ended before it was ready: {self.last_output(name)}")
                yield
        finally:
            os.close(read)

    @asynccontextmanager
    async def process(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        *,
        pass_fds: Sequence[int] = (),
        output: int | None = None,
    ) -> AsyncGenerator[asyncio.subprocess.Process]:
        """Run a process for the length of a block; the kernel kills it if ours is killed."""
        with self._log(name).open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL"),
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output or log,
                stderr=log,
                env=environment,
                cwd=self.directory,
                pass_fds=pass_fds,
                limit=_LINE_BYTES,
            )
        self.processes[name] = child.pid
        try:
            yield child
        finally:
            del self.processes[name]
            if child.returncode is None:
                child.kill()
            await child.wait()

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def last_output(self, name: str) -> str:
        """Return the end of a process's log."""
        return self._log(name).read_text(errors="replace")[-_LOG_CHARS:].strip()

    async def count_calls(self, child: asyncio.subprocess.Process) -> None:
        """Count the calls in the audit log, which is the API server's standard output."""
        assert child.stdout is not None  # noqa: S101 - PIPE was asked for
        async for line in child.stdout:
            if (call := call_of(line)) is not None:
                self.calls[call] += 1


@asynccontextmanager
async def control_plane(
    directory: Path, programs: Components, manifests: Sequence[Mapping[str, Any]]
) -> AsyncGenerator[ControlPlane]:
    """Run a control plane for the length of a block.

    Args:
        directory: An empty directory for its state.
        programs: Upstream's programs.
        manifests: Created first: custom resource definitions and RBAC.

    Raises:
        BenchError: The API server is not ready in time.
        ProcessError: The API server rejects a manifest.
    """
    etcd_port, peer_port, port = _free_ports(3)
    plane = ControlPlane(directory, f"https://{LOOPBACK}:{port}")
    (directory / "pulls").mkdir()
    _write_identities(plane)
    _write(directory / "audit.yaml", yaml.safe_dump(audit_policy()))
    etcd = f"http://{LOOPBACK}:{etcd_port}"
    async with AsyncExitStack() as stack:
        flags = etcd_flags(directory, etcd, f"http://{LOOPBACK}:{peer_port}")
        await stack.enter_async_context(plane.process(ETCD, _command(programs, ETCD, flags)))
        server = await stack.enter_async_context(
            plane.process(
                API_SERVER,
                _command(programs, API_SERVER, api_server_flags(directory, port, etcd)),
                output=asyncio.subprocess.PIPE,
            )
        )
        counting = asyncio.create_task(plane.count_calls(server))
        stack.callback(counting.cancel)
        async with connect(plane.kubeconfig("admin"), ADMIN) as client:
            await _until_ready(client, plane)
        await _create(programs, plane, manifests)
        flags = signer_flags(directory, plane.kubeconfig(SIGNER))
        await stack.enter_async_context(plane.process(SIGNER, _command(programs, SIGNER, flags)))
        yield plane


def _command(
    programs: Components, name: str, flags: Mapping[str, object]
) -> tuple[str | Path, ...]:
    return (programs.program(name), *(f"--{flag}={value}" for flag, value in flags.items()))


async def _until_ready(client: Client, plane: ControlPlane) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while True:
        try:
            await client.raw("/readyz")
        except KubeError as error:
            if time.monotonic() > deadline:
                said = plane.last_output(API_SERVER)
                raise BenchError(f"the API server is not ready: {error.message}: {said}") from error
            await asyncio.sleep(_POLL_S)
        else:
            return


async def _create(
    programs: Components, plane: ControlPlane, manifests: Sequence[Mapping[str, Any]]
) -> None:
    kubectl = (programs.program("kubectl"), f"--kubeconfig={plane.kubeconfig('admin')}")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}).encode()
    await run(*kubectl, "apply", "--server-side", "-f", "-", stdin=listed)
    await run(*kubectl, "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")


def _write_identities(plane: ControlPlane) -> None:
    now = datetime.now(UTC)
    authority = new_authority("bench", now)
    server = Subject(API_SERVER, client=False, server=True, addresses=(LOOPBACK,))
    own = _issue(authority, plane.directory / "server", server, now)
    _write(own / "ca.key", authority.pair.key)
    for name, subject in _USERS.items():
        home = _issue(authority, plane.kubeconfig(name).parent, subject, now)
        _write(home / "kubeconfig", render(plane.url, subject.common_name, home))


def _issue(authority: Authority, home: Path, subject: Subject, now: datetime) -> Path:
    home.mkdir(parents=True, mode=0o700)
    pair = authority.issue(subject, now)
    _write(home / "ca.crt", authority.pair.certificate)
    _write(home / "client.crt", pair.certificate)
    _write(home / "client.key", pair.key)
    return home


def _write(path: Path, content: bytes | str) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for each in sockets:
            each.bind((str(LOOPBACK), 0))
        return [each.getsockname()[1] for each in sockets]
