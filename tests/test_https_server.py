"""The HTTPS server that the webhooks and the EKS API share."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from aiohttp import web

from monopod.identity.serving import ServingCertificate
from monopod.util.https_server import Handler, HttpsServer
from tests.apiserver import LOOPBACK, CertificateMaker, free_ports

pytestmark = pytest.mark.unit


class Rig:
    """A certificate, its client's trust, and a free port."""

    def __init__(self, directory: Path) -> None:
        maker = CertificateMaker()
        files = directory / "serving.crt", directory / "serving.key"
        for file, content in zip(files, maker.issue("server", (), LOOPBACK), strict=True):
            file.write_bytes(content)
        self.context = ServingCertificate(*files).context()
        self.trust = ssl.create_default_context(cadata=maker.pem.decode())
        (self.port,) = free_ports(1)

    def server(self, served: web.Application | Handler) -> HttpsServer:
        return HttpsServer(served, LOOPBACK, self.port, self.context)

    async def get(self, path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(verify=self.trust, trust_env=False) as client:
            return await client.get(f"https://{LOOPBACK}:{self.port}{path}")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _hello(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def test_an_application_is_served_by_its_routes(rig: Rig) -> None:
    application = web.Application()
    application.router.add_get("/hello", _hello)
    server = rig.server(application)
    running = asyncio.create_task(server.run())
    await server.listening.wait()
    assert (await rig.get("/hello")).text == "hello"
    assert (await rig.get("/other")).status_code == 404
    await _end(running)
    with pytest.raises(httpx2.ConnectError):
        await rig.get("/hello")


async def test_a_request_in_progress_is_answered_before_the_server_stops(rig: Rig) -> None:
    arrived, finish = asyncio.Event(), asyncio.Event()

    async def slow(_: web.BaseRequest) -> web.StreamResponse:
        arrived.set()
        await finish.wait()
        return web.Response(text="done")

    server = rig.server(slow)
    running = asyncio.create_task(server.run())
    await server.listening.wait()
    request = asyncio.create_task(rig.get("/any/path"))
    await arrived.wait()
    running.cancel()
    finish.set()
    assert (await request).text == "done"
    await _end(running)


async def test_a_taken_port_ends_it_before_it_listens(rig: Rig) -> None:
    first, second = rig.server(_hello), rig.server(_hello)
    running = asyncio.create_task(first.run())
    await first.listening.wait()
    with pytest.raises(OSError, match="address already in use"):
        await second.run()
    assert not second.listening.is_set()
    await _end(running)


async def test_a_client_that_sends_no_request_is_disconnected(rig: Rig) -> None:
    server = HttpsServer(_hello, LOOPBACK, rig.port, rig.context, first_request_within_s=0.3)
    running = asyncio.create_task(server.run())
    await server.listening.wait()
    reader, writer = await asyncio.open_connection(
        LOOPBACK, rig.port, ssl=rig.trust, server_hostname=LOOPBACK
    )
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await _end(running)


async def test_a_client_may_send_requests_for_longer(rig: Rig) -> None:
    server = HttpsServer(_hello, LOOPBACK, rig.port, rig.context, first_request_within_s=0.3)
    running = asyncio.create_task(server.run())
    await server.listening.wait()
    async with httpx2.AsyncClient(verify=rig.trust, trust_env=False) as client:
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.5
        while loop.time() < until:
            assert (await client.get(f"https://{LOOPBACK}:{rig.port}/")).text == "hello"
    await _end(running)
