"""Commands in containers, against a server that speaks the exec protocol."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from aiohttp import web
from lightkube.resources.core_v1 import Pod

from monopod.kube import Client, ForbiddenError, TransientError
from monopod.kube.connections import Upgrade
from monopod.kube.exec import ExecError, run_in_pod

pytestmark = pytest.mark.unit

POD = msgspec.convert({"metadata": {"name": "web", "namespace": "shop"}}, Pod)
SUCCESS = {"status": "Success"}
FAILURE = {"status": "Failure", "message": "command terminated with exit code 3"}


class Server:
    """A server that answers each exec with a status, and keeps what it was asked and sent."""

    def __init__(self) -> None:
        self.status: dict[str, Any] | None = SUCCESS
        self.query: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.stdin = b""
        self.url = ""
        self.refusal: web.Response | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            return self.refusal
        self.query = list(request.query.items())
        self.headers = dict(request.headers)
        channels = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
        await channels.prepare(request)
        async for message in channels:
            if message.data == bytes([255, 0]):
                break
            assert message.data[0] == 0
            self.stdin += message.data[1:]
        if self.status is not None:
            await channels.send_bytes(b"\x01out")
            await channels.send_bytes(b"\x02err")
            await channels.send_bytes(b"\x03" + json.dumps(self.status).encode())
        await channels.close()
        return channels

    @asynccontextmanager
    async def upgrade(self, path: str) -> AsyncGenerator[Upgrade]:
        headers = {"Authorization": "Bearer token"}
        yield Upgrade(self.url + path, ssl.create_default_context(), headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/shop/pods/web/exec", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


async def run(server: Server, stdin: bytes = b"", timeout_s: float = 5) -> bytes:
    client = cast("Client", server)
    return await run_in_pod(client, POD, "main", ("cat", "-"), stdin, timeout_s=timeout_s)


async def test_a_command_reads_its_input_to_the_end(server: Server) -> None:
    content = bytes(range(256)) * 300
    assert await run(server, content) == b"out"
    assert server.stdin == content
    assert ("container", "main") in server.query
    assert [value for name, value in server.query if name == "command"] == ["cat", "-"]
    assert server.headers["Authorization"] == "Bearer token"


async def test_a_failed_command_says_what_it_printed(server: Server) -> None:
    server.status = FAILURE
    with pytest.raises(ExecError, match="exit code 3: err"):
        await run(server)


async def test_a_broken_connection_is_transient(server: Server) -> None:
    server.status = None
    with pytest.raises(TransientError, match="ended before the command did"):
        await run(server)


async def test_a_refused_handshake_raises_the_servers_message(server: Server) -> None:
    refusal = {"kind": "Status", "status": "Failure", "message": "pods is forbidden: no"}
    server.refusal = web.json_response(refusal, status=403)
    with pytest.raises(ForbiddenError, match=r"^pods is forbidden: no$"):
        await run(server)


async def test_a_server_that_cannot_answer_now_is_transient(server: Server) -> None:
    server.refusal = web.Response(text="overloaded", status=503, headers={"Retry-After": "7"})
    with pytest.raises(TransientError, match="overloaded") as raised:
        await run(server)
    assert raised.value.retry_after_s == 7


async def test_a_server_that_hangs_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "send_bytes", hang)
    with pytest.raises(TransientError, match=r"took over 0\.1 s"):
        await run(server, b"x", timeout_s=0.1)
