"""The metrics proxy in front of processes, with the rights that it has in a cluster."""

import asyncio
import http.client
import ssl
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from aiohttp import web
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount

from monopod.identity.serving import ServingCertificate
from monopod.kube import Client, connect
from monopod.metricsproxy import server as proxy
from monopod.metricsproxy.access import Access
from monopod.metricsproxy.server import Server, Targets
from monopod.util.https_server import HttpsServer
from tests.apiserver import LOOPBACK, ApiServer, free_ports
from tests.kube.waiting import running

pytestmark = [pytest.mark.api, pytest.mark.row("S15")]

_USER = "monopod:metricsproxy"
_TEXT = b"# TYPE up gauge\nup 1\n"
_Process = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.fixture(scope="session")
def ruled_server(api_server: ApiServer) -> ApiServer:
    api_server.apply_rules()
    return api_server


@asynccontextmanager
async def _process(answer: _Process) -> AsyncGenerator[str]:
    # A process that hangs is not waited for.
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


async def _serves(request: web.BaseRequest) -> web.StreamResponse:
    assert "Authorization" not in request.headers, "the caller's token goes no further"
    assert request.path == "/metrics"
    return web.Response(body=_TEXT, headers={"Content-Type": "text/plain; version=0.0.4"})


class World:
    """A proxy, its clock, and a client that trusts it."""

    def __init__(self, server: ApiServer, admin: Client, namespace: str, port: int) -> None:
        self.server, self.admin, self.namespace = server, admin, namespace
        self.now = 0.0
        self.url = f"https://{LOOPBACK}:{port}"
        self.trust = ssl.create_default_context(cadata=server.certificates.pem.decode())

    async def account(self, *, may: bool) -> tuple[str, str]:
        """Make a service account, that may read metrics or not; returns its user and a token."""
        name = f"a-{uuid.uuid4().hex[:8]}"
        await self.admin.create(
            ServiceAccount(metadata=ObjectMeta(name=name, namespace=self.namespace))
        )
        issued = self.server.kubectl("-n", self.namespace, "create", "token", name).stdout.strip()
        user = f"system:serviceaccount:{self.namespace}:{name}"
        if may:
            self.allow(name, user)
        return user, issued

    def allow(self, name: str, user: str) -> None:
        for words in (
            ("clusterrole", name, "--verb=get", "--non-resource-url=/metrics"),
            ("clusterrolebinding", name, f"--clusterrole={name}", f"--user={user}"),
        ):
            done = self.server.kubectl("create", *words)
            assert done.returncode == 0, done.stderr

    async def get(
        self, path: str, token: str | None = None, method: str = "GET"
    ) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(verify=self.trust, trust_env=False) as client:
            return await client.request(method, self.url + path, headers=headers)


@asynccontextmanager
async def _running(
    world: World, urls: dict[str, str], directory: Path, *, requests: int = 8
) -> AsyncGenerator[None]:
    server = world.server
    files = directory / "serving.crt", directory / "serving.key"
    for file, content in zip(files, server.certificates.issue("proxy", (), LOOPBACK), strict=True):
        file.write_bytes(content)
    config = server.kubeconfig(_USER)
    async with connect(config, "tests") as client:
        access = Access(client, lambda: world.now)
        pair = config.with_name("client.crt"), config.with_name("client.key")
        targets = Targets(urls, 1.0, pair)
        port = int(world.url.rpartition(":")[2])
        https = HttpsServer(
            Server(access, targets, requests=requests).handle,
            LOOPBACK,
            port,
            ServingCertificate(*files).context(),
        )
        async with running(https.run()):
            await https.listening.wait()
            yield


@pytest.fixture
async def world(ruled_server: ApiServer, admin: Client, namespace: str) -> AsyncIterator[World]:
    (port,) = free_ports(1)
    yield World(ruled_server, admin, namespace, port)


async def test_metrics_are_read_with_the_permission_and_without_it_not(
    world: World, tmp_path: Path
) -> None:
    _, reader = await world.account(may=True)
    other, stranger = await world.account(may=False)
    async with _process(_serves) as url, _running(world, {"microvm": url}, tmp_path):
        answer = await world.get("/metrics/microvm", reader)
        assert (answer.status_code, answer.content) == (200, _TEXT)
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4"
        for token in (None, "x", stranger + "x", "x" * 20_000):
            answer = await world.get("/metrics/microvm", token)
            assert answer.status_code in (400, 401), token
            assert b"up" not in answer.content
        answer = await world.get("/metrics/microvm", stranger)
        assert (answer.status_code, answer.text) == (403, f"{other} may not get /metrics\n")


async def test_a_caller_gets_no_encoding_that_it_did_not_ask_for(
    world: World, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def notes(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0)
        asked.append(request.headers["Accept-Encoding"])
        return web.Response(body=_TEXT)

    def call(token: str, encoding: str | None) -> bytes:
        host, port = world.url.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=world.trust)
        connection.putrequest("GET", "/metrics/one", skip_accept_encoding=True)
        connection.putheader("Authorization", f"Bearer {token}")
        if encoding is not None:
            connection.putheader("Accept-Encoding", encoding)
        connection.endheaders()
        body = connection.getresponse().read()
        connection.close()
        return body

    _, reader = await world.account(may=True)
    async with _process(notes) as url, _running(world, {"one": url}, tmp_path):
        assert await asyncio.to_thread(call, reader, None) == _TEXT
        assert await asyncio.to_thread(call, reader, "gzip") == _TEXT
    assert asked == ["identity", "gzip"]


async def test_who_may_not_read_learns_nothing_about_processes(
    world: World, tmp_path: Path
) -> None:
    _, reader = await world.account(may=True)
    _, stranger = await world.account(may=False)
    async with _process(_serves) as url, _running(world, {"microvm": url}, tmp_path):
        for path in ("/", "/metrics", "/metrics/other", "/metrics/microvm/../x"):
            assert (await world.get(path)).status_code == 401
            assert (await world.get(path, stranger)).status_code == 403
            answer = await world.get(path, reader)
            assert answer.status_code == 404
            assert "microvm" in answer.text
        answer = await world.get("/metrics/microvm", reader, "POST")
        assert answer.status_code == 405


async def test_a_permission_counts_for_as_long_as_it_is_given(world: World, tmp_path: Path) -> None:
    user, token = await world.account(may=False)
    name = user.rpartition(":")[2]
    async with _process(_serves) as url, _running(world, {"microvm": url}, tmp_path):
        assert (await world.get("/metrics/microvm", token)).status_code == 403
        world.allow(name, user)
        world.now += 6
        assert (await world.get("/metrics/microvm", token)).status_code == 200
        assert world.server.kubectl("delete", "clusterrolebinding", name).returncode == 0
        world.now += 31
        assert (await world.get("/metrics/microvm", token)).status_code == 403


async def test_a_process_that_does_not_serve_is_down_and_no_other(
    world: World, tmp_path: Path
) -> None:
    async def hangs(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(30)
        return web.Response()

    async def drips(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"# more\n")
            await asyncio.sleep(0.1)

    async def fails(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.Response(status=500)

    _, reader = await world.account(may=True)
    (unused,) = free_ports(1)
    async with (
        _process(_serves) as good,
        _process(hangs) as hanging,
        _process(drips) as dripping,
        _process(fails) as failing,
        _running(
            world,
            {
                "good": good,
                "hanging": hanging,
                "dripping": dripping,
                "failing": failing,
                "absent": f"http://{LOOPBACK}:{unused}/metrics",
            },
            tmp_path,
        ),
    ):
        names = ("hanging", "dripping", "failing", "absent", "good")
        answers = await asyncio.gather(*(world.get(f"/metrics/{name}", reader) for name in names))
        assert [each.status_code for each in answers] == [504, 504, 502, 502, 200]


async def test_metrics_without_an_end_are_not_kept(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy, "_MOST_BYTES", 1000)

    async def large(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0)
        return web.Response(body=bytes(1001))

    _, reader = await world.account(may=True)
    async with _process(large) as url, _running(world, {"large": url}, tmp_path):
        answer = await world.get("/metrics/large", reader)
        assert (answer.status_code, answer.text) == (502, "its metrics are too large\n")


async def test_more_requests_than_allowed_are_refused_at_once(world: World, tmp_path: Path) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def waits(_: web.BaseRequest) -> web.StreamResponse:
        reached.set()
        await go_on.wait()
        return web.Response(body=_TEXT)

    _, reader = await world.account(may=True)
    async with _process(waits) as url, _running(world, {"one": url}, tmp_path, requests=1):
        first = asyncio.create_task(world.get("/metrics/one", reader))
        await reached.wait()
        assert (await world.get("/metrics/one", reader)).status_code == 503
        go_on.set()
        assert (await first).status_code == 200
        assert (await world.get("/metrics/one", reader)).status_code == 200
