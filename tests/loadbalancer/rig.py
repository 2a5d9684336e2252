"""A real HAProxy in its own network namespace, with web servers in it as targets."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
from collections import Counter
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
from monopod.controllers.loadbalancer.servers import ServerState, read
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.node.net.namespaces import Namespace
from tests.net.lab import ip, make_socket, namespace

TARGETS = (IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2"))
PORT = 8080
OPEN = ":open"
"""The end of the name of a fail-open backend, which has no health checks."""


@dataclass
class Rig:
    """A running HAProxy, its namespace and its runtime socket."""

    where: Namespace
    plan: ClusterNetwork
    home: Path
    under_way: Counter[str] = field(default_factory=Counter[str])
    """Number of requests that each target is answering."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Requests with ``?held`` are answered once it is set."""
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

    async def ask(self, command: str) -> str:
        """Return the answer of its runtime socket; empty while its master starts or reloads."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.home / "socket")
            writer.write(f"{command}\n".encode())
            writer.write_eof()
            answer = await reader.read()
            writer.close()
        except OSError:
            return ""
        return answer.decode()

    async def reloaded(self) -> bool:
        """Whether only the newest worker is left: older ones may still accept connections."""
        processes = await self.ask("show proc")
        return "# workers" in processes and "# old workers" not in processes

    async def servers(self) -> list[ServerState]:
        """Return the states of all targets in backends with health checks."""
        states = read(await self.ask("@1 show servers state"))
        return [
            state
            for backend, of in states.items()
            if not backend.endswith(OPEN)
            for state in of.values()
        ]

    async def healthy(self, count: int) -> bool:
        """Whether exactly this many targets have passed their health checks."""
        return sum(each.passed for each in await self.servers()) == count

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
        timeout = aiohttp.ClientTimeout(total=20)
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
        rig.under_way[address] += 1
        try:
            await asyncio.sleep(float(request.query.get("for", "0")))
            if "held" in request.query:
                await rig.released.wait()
        finally:
            rig.under_way[address] -= 1
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
