"""A control plane in the laboratory: an API server in its place, and programs."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from monopod.node.net import services
from monopod.node.net.cluster_network import API_PORT
from monopod.node.net.namespaces import Namespace
from tests.apiserver import LOOPBACK, ApiServer
from tests.framework.eventually import eventually
from tests.net.lab import Lab, make_socket

_PATIENCE_S = 60.0


@asynccontextmanager
async def in_control_plane(lab: Lab, server: ApiServer) -> AsyncGenerator[None]:
    """Let the API server be where it is in a cluster; it really listens on a loopback."""
    where = urlsplit(server.url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, back = await asyncio.open_connection(where.hostname, where.port)
            await asyncio.gather(_pump(reader, back), _pump(onward, writer))
        except OSError:
            writer.close()

    # Where clients of the cluster look for it, and where its certificate is valid.
    places = [(str(lab.plan.control.ip), API_PORT), (LOOPBACK, where.port or 0)]
    async with AsyncExitStack() as stack:
        for place in places:
            inside = make_socket(lab.control, socket.SOCK_STREAM, place)
            listening = await asyncio.start_server(forward, sock=inside)
            stack.callback(listening.close)
        yield


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def kubeconfig(lab: Lab, server: ApiServer, user: str, directory: Path) -> Path:
    """Return a user's kubeconfig that names the API server where it is in a cluster."""
    original = server.kubeconfig(user)
    config = yaml.safe_load(original.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] |= {"server": lab.plan.api_server, "tls-server-name": LOOPBACK}
    text = yaml.safe_dump(config)
    for file in ("ca.crt", "client.crt", "client.key"):
        (directory / file).write_bytes((original.parent / file).read_bytes())
    made = directory / "kubeconfig"
    made.write_text(text)
    return made


@asynccontextmanager
async def running(
    where: Namespace,
    directory: Path,
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    notify: int | None = None,
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a program in a namespace, its output in ``log`` below a directory, to the end."""
    with (directory / "log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *("nsenter", f"--net={where.path}", "setpriv", "--pdeathsig", "KILL"),
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            pass_fds=() if notify is None else (notify,),
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@asynccontextmanager
async def kube_proxy(
    lab: Lab, server: ApiServer, directory: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run kube-proxy on the router, as a cluster does."""
    home = directory / "kube-proxy"
    home.mkdir()
    own = kubeconfig(lab, server, "system:kube-proxy", home)
    config = home / "config.yaml"
    config.write_text(json.dumps(services.kube_proxy_configuration(lab.plan, own)))
    program = server.program("kube-proxy")
    async with running(lab.router, home, program, f"--config={config}") as child:
        yield child


def apply(server: ApiServer, *objects: Mapping[str, Any]) -> None:
    """Apply objects as the administrator."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    done = server.kubectl("apply", "-f", "-", stdin=json.dumps(items))
    assert done.returncode == 0, done.stderr


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    await eventually(holds, timeout_s=_PATIENCE_S, every_s=0.05)
