"""A registry that wants a password, a store of blobs that it redirects to, and the pull proxy."""

import base64
import hashlib
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from yarl import URL

from monopod.identity.authority import Subject, new_authority
from monopod.identity.pull_grant import PullGrants, RegistryCredential
from monopod.pullproxy.server import Server
from monopod.pullproxy.upstream import Upstream

USER, PASSWORD = "puller", "needle-in-no-haystack"
MACHINE, HOME = "mvm-0123456789", "127.0.0.1"
MANIFEST = json.dumps({"schemaVersion": 2}).encode()
BLOB = bytes(range(256)) * 4096
DIGEST = "sha256:" + hashlib.sha256(BLOB).hexdigest()
TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class FakeRegistry:
    """Its repository ``team/web`` has one manifest, ``1``, and one blob."""

    bearer: bool = False
    """Whether it names a token service, which is itself, or wants the password."""
    place: str = ""
    """Where blobs are redirected to; empty means that it has them."""
    realm: str = ""
    """URL of the token service instead of itself."""
    endpoint: str = ""
    seen: list[web.BaseRequest] = field(default_factory=list[web.BaseRequest])
    tokens: int = 0
    halt_after: int | None = None
    """Bytes of a blob after which it ends the connection."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.seen.append(request)
        said = request.headers.get("Authorization", "")
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.path == "/token":
            return self._token(request, known=said == basic)
        if said != (f"Bearer token-{self.tokens}" if self.bearer else basic):
            realm = self.realm or f"https://{self.endpoint}/token"
            scope = 'scope="repository:team/web:pull,push"'
            asked = f'Bearer realm="{realm}",service="it",{scope}' if self.bearer else "Basic"
            return web.Response(status=401, headers={"WWW-Authenticate": asked})
        if request.path == "/v2/team/web/manifests/1":
            headers = {"Docker-Content-Digest": "sha256:" + hashlib.sha256(MANIFEST).hexdigest()}
            return web.Response(body=MANIFEST, content_type=TYPE, headers=headers)
        if request.path == f"/v2/team/web/blobs/{DIGEST}":
            if self.place:
                return web.Response(status=307, headers={"Location": self.place})
            return await self.blob(request)
        return web.Response(status=404)

    def _token(self, request: web.BaseRequest, *, known: bool) -> web.Response:
        self.tokens += 1
        if not known:
            return web.Response(status=401)
        assert request.query["scope"] == "repository:team/web:pull"
        return web.json_response({"token": f"token-{self.tokens}", "expires_in": 300})

    async def blob(self, request: web.BaseRequest) -> web.StreamResponse:
        start = request.http_range.start or 0
        ranged = "Range" in request.headers
        body = BLOB[start:]
        answer = web.StreamResponse(status=206 if ranged else 200)
        answer.content_length = len(body)
        if ranged:
            answer.headers["Content-Range"] = f"bytes {start}-{len(BLOB) - 1}/{len(BLOB)}"
        await answer.prepare(request)
        await answer.write(body[: self.halt_after])
        if self.halt_after is not None:
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write_eof()
        return answer


@dataclass
class PullWorld:
    """A pull proxy with one machine, whose role has the password of one registry."""

    registry: FakeRegistry
    grants: PullGrants
    pem: bytes
    """Of the authority that all servers have certificates of."""
    serve: Callable[[Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]], Awaitable[str]]
    """Serve HTTPS and return the endpoint."""
    proxy: str
    token: str = ""

    def grant(
        self,
        machine: str = MACHINE,
        address: str = HOME,
        pattern: str = "",
        password: str = PASSWORD,
    ) -> str:
        """Write a grant; returns its token."""
        credential = RegistryCredential(pattern or self.registry.endpoint, USER, password)
        authorities = {self.registry.endpoint: self.pem}
        return self.grants.write(
            machine, IPv4Address(address), "pullers", [credential], authorities
        )

    async def ask(
        self,
        path: str = "/v2/team/web/manifests/1",
        method: str = "GET",
        *,
        registry: str | None = None,
        token: str | None = None,
        address: str = HOME,
        **more: Any,
    ) -> tuple[int, bytes, dict[str, str]]:
        """Send a request to the proxy, as a guest does."""
        headers = {
            "Authorization": f"Bearer {self.token if token is None else token}",
            **more.pop("headers", {}),
        }
        trust = ssl.create_default_context(cadata=self.pem.decode())
        connector = aiohttp.TCPConnector(ssl=trust, local_addr=(address, 0))
        ns = self.registry.endpoint if registry is None else registry
        url = URL(f"https://{self.proxy}{path}?ns={ns}", encoded=True)
        async with (
            aiohttp.ClientSession(connector=connector, auto_decompress=False) as web_client,
            web_client.request(method, url, headers=headers, **more) as answer,
        ):
            return answer.status, await answer.read(), dict(answer.headers)

    async def refused(self, *words: Any, **more: Any) -> str:
        """Ask for what is denied; returns the message, and asserts that no registry was asked."""
        before = len(self.registry.seen)
        status, body, _ = await self.ask(*words, **more)
        assert status == 403, (status, body)
        assert len(self.registry.seen) == before
        return json.loads(body)["errors"][0]["message"]


@asynccontextmanager
async def pull_world(
    directory: Path,
    never: tuple[IPv4Network, ...] = (),
    *,
    requests: int = 4,
    stalled_s: float = 5.0,
) -> AsyncGenerator[PullWorld]:
    """Run one on this host's loopback, whose addresses are allowed unless given."""
    authority = new_authority("pulls", datetime.now(UTC))
    hosts = tuple(IPv4Address(f"127.0.0.{last}") for last in (1, 2, 3))
    subject = Subject("it", client=False, server=True, addresses=hosts, names=("localhost",))
    pair = authority.issue(subject, datetime.now(UTC))
    (directory / "crt").write_bytes(pair.certificate)
    (directory / "key").write_bytes(pair.key)
    (directory / "pulls").mkdir()
    grants = PullGrants(directory / "pulls")
    async with AsyncExitStack() as stack:

        async def serve(handle: Any) -> str:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(directory / "crt", directory / "key")
            runner = web.ServerRunner(web.Server(handle, access_log=None))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, HOME, 0, ssl_context=context).start()
            return f"{HOME}:{runner.addresses[0][1]}"

        upstream = await stack.enter_async_context(
            Upstream(directory / "none", stalled_s, never).opened()
        )
        registry = FakeRegistry()
        registry.endpoint = await serve(registry.handle)
        proxy = await serve(Server(grants, upstream, requests=requests, stalled_s=stalled_s).handle)
        made = PullWorld(registry, grants, authority.pair.certificate, serve, proxy)
        made.token = made.grant()
        yield made
