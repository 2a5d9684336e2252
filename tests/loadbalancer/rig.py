"""A real HAProxy in its own network namespace, with web servers in it as targets."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.render import base
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.namespaces import Namespace
from tests.net.lab import ip, make_socket, namespace

TARGETS = (IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2"))
PORT = 8080


@dataclass
class Rig:
    """A running HAProxy, its namespace and its runtime socket."""

    where: Namespace
    plan: ClusterNetwork
    home: Path
    slow_requests: int = 0
    """Requests with ``?for=SECONDS`` that its targets have received."""
    _child: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def haproxy(self) -> HAProxy:
        return HAProxy(self.home / "base.cfg", self.home / "d", self.home / "socket")

    def start(self) -> None:
        """Start HAProxy, as its supervisor does."""
        (self.home / "socket").unlink(missing_ok=True)
        words = [
            "haproxy",
            "-W",
            "-S",
            str(self.home / "socket"),
            "-f",
            str(self.home / "base.cfg"),
        ]
        mortal = ["setpriv", "--pdeathsig", "KILL"]
        with (self.home / "haproxy.log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    "nsenter",
                    f"--net={self.where.path}",
                    *mortal,
                    *words,
                    "-f",
                    str(self.home / "d"),
                ],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill its master process; its worker exits with it."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def stop(self) -> None:
        """Stop it with all workers."""
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()

    async def answers(self) -> bool:
        """Whether its runtime socket answers; it does not yet right after the start."""
        try:
            _, writer = await asyncio.open_unix_connection(self.home / "socket")
        except OSError:
            return False
        writer.close()
        return True

    async def listen(
        self,
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
        address: str,
        port: int,
    ) -> asyncio.Server:
        """Start another server in HAProxy's namespace."""
        made = make_socket(self.where, socket.SOCK_STREAM, (address, port))
        return await asyncio.start_server(serve, sock=made)

    def client(self, jar: aiohttp.CookieJar | None = None) -> aiohttp.ClientSession:
        """A client in HAProxy's namespace, with a connection for each request."""

        def make(address: Any) -> socket.socket:
            family, kind, protocol, *_ = address
            return self.where.call(lambda: socket.socket(family, kind, protocol))

        connector = aiohttp.TCPConnector(socket_factory=make, force_close=True)
        timeout = aiohttp.ClientTimeout(total=5)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=jar, max_field_size=65536
        )


@asynccontextmanager
async def rig(directory: Path) -> AsyncGenerator[Rig]:
    """Run an HAProxy, and remove it completely at the end."""
    name = secrets.token_hex(3)
    home = directory / "haproxy"
    (home / "d").mkdir(parents=True)
    (home / "base.cfg").write_text(base())
    with namespace(f"lab-{name}-balancers") as where:
        made = Rig(where, ClusterNetwork(name, 0), home)
        ip(where, "link", "set", "lo", "up")
        ip(where, "route", "add", "local", str(made.plan.balancer_addresses), "dev", "lo")
        async with AsyncExitStack() as stack:
            for address in TARGETS:
                ip(where, "addr", "add", f"{address}/32", "dev", "lo")
                await stack.enter_async_context(_serving(made, str(address)))
            made.start()
            stack.callback(made.stop)
            yield made


@asynccontextmanager
async def _serving(rig: Rig, address: str) -> AsyncGenerator[None]:
    async def answer(request: web.Request) -> web.Response:
        if wait_s := request.query.get("for"):
            rig.slow_requests += 1
            await asyncio.sleep(float(wait_s))
        if name := request.query.get("show"):
            return web.Response(text="|".join(request.headers.getall(name, [])))
        large = "a" * int(request.query.get("answer", "0"))
        return web.Response(text=address, headers={"X-Large": large} if large else {})

    application = web.Application(
        handler_args={"max_line_size": 65536, "max_field_size": 65536, "max_headers": 1000}
    )
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(
            runner, make_socket(rig.where, socket.SOCK_STREAM, (address, PORT))
        ).start()
        yield
    finally:
        await runner.cleanup()
