"""Attackers at the pull proxy: root in a guest, a stolen token, and a registry that lies."""

import json
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from aiohttp import web

from monopod.pullproxy import upstream
from monopod.pullproxy.reach import NEVER, may_call
from tests.pullproxy.world import DIGEST, MACHINE, PASSWORD, PullWorld, pull_world

pytestmark = [pytest.mark.unit, pytest.mark.row("S13")]

_BLOB = f"/v2/team/web/blobs/{DIGEST}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PullWorld]:
    async with pull_world(tmp_path) as made:
        yield made


async def test_another_machines_token_is_refused(world: PullWorld) -> None:
    stolen = world.grant("mvm-other", "127.0.0.2")
    assert (await world.ask(token=stolen, address="127.0.0.2"))[0] == 200
    # From the attacker's own machine, with its own name before the stolen secret, and without.
    secret = stolen.partition(".")[2]
    for token in (
        stolen,
        f"{MACHINE}.{secret}",
        secret,
        "",
        f"../{stolen}",
        f"mvm-other/.{secret}",
    ):
        said = await world.refused(token=token)
        assert said == "the token is not of a machine with this address"


async def test_the_address_alone_is_not_enough(world: PullWorld) -> None:
    await world.refused(token=f"{MACHINE}.guess")
    await world.refused(address="127.0.0.2")


async def test_a_token_ends_with_its_machine(world: PullWorld) -> None:
    assert (await world.ask())[0] == 200
    world.grants.remove(MACHINE)
    await world.refused()


async def test_a_token_ends_when_the_machine_is_launched_again(world: PullWorld) -> None:
    old = world.token
    world.token = world.grant()
    await world.refused(token=old)
    assert (await world.ask())[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_it_cannot_push(world: PullWorld, method: str) -> None:
    for path in ("/v2/team/web/blobs/uploads/", "/v2/team/web/manifests/1"):
        status, _, _ = await world.ask(path, method)
        assert status == 405
    assert (await world.ask(method="GET", data=b"body"))[0] == 400
    assert not world.registry.seen


@pytest.mark.parametrize(
    "path",
    [
        "/v2/",
        "/v2/_catalog",
        "/v2/team/web/tags/list",
        f"/v2/team/web/referrers/{DIGEST}",
        "/token",
        "/v2/../token/manifests/1",
        "/v2/team/%2e%2e/manifests/1",
        "/v2/team/web/manifests/..%2F..%2F_catalog",
        "/v2/team/web/manifests/1/../../2",
        "/v2/team//web/manifests/1",
        "/v2/team/web/blobs/1",
        "/v2/team/web/manifests/1%3Fa=b",
        "/v2/Team/web/manifests/1",
        f"/v2/{'a/' * 200}b/manifests/1",
    ],
)
async def test_it_reads_manifests_and_blobs_only(world: PullWorld, path: str) -> None:
    assert (await world.ask(path))[0] == 404
    assert not world.registry.seen


async def test_it_reaches_no_registry_but_its_roles(world: PullWorld) -> None:
    _, port = world.registry.endpoint.split(":")
    for registry in (f"127.0.0.2:{port}", "127.0.0.1", "169.254.169.254", "100.127.0.6:6443"):
        said = await world.refused(registry=registry)
        assert said.startswith(f"ExecutionRole pullers has no credential for {registry}/team/web")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "user@127.0.0.1",
        "127.0.0.1/v2",
        "127.0.0.1%23",
        "127.0.0.1%00",
        "127.0.0.1%0d%0aHost:x",
        "a&ns=b",
        "a&n=b",
        "[::1]",
    ],
)
async def test_a_registrys_name_is_a_host_and_a_port(world: PullWorld, name: str) -> None:
    world.token = world.grant(pattern="*")
    assert (await world.ask(registry=name))[0] == 400


async def test_it_reaches_no_repository_but_its_roles(world: PullWorld) -> None:
    world.token = world.grant(pattern=f"{world.registry.endpoint}/team")
    assert (await world.ask())[0] == 200
    for repository in ("teams/web", "tea", "other/team"):
        await world.refused(f"/v2/{repository}/manifests/1")


_LOOPBACK = IPv4Network("127.0.0.0/8")
_OUTSIDE = tuple(each for each in NEVER if each != _LOOPBACK)


def test_the_loopback_is_never_called() -> None:
    """Elsewhere in this file registries listen there."""
    assert not may_call(IPv4Address("127.0.0.1"), public=False)
    assert may_call(IPv4Address("10.1.2.3"), public=False)
    assert not may_call(IPv4Address("10.1.2.3"), public=True)


@pytest.mark.parametrize(
    "place",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://100.127.0.6:6443/",
        "https://100.64.0.9:10250/",
        "https://10.100.0.1/",
        "https://0.0.0.0/",
        # As getaddrinfo(3) reads addresses.
        "https://2851995905/",
        "https://0xa9.0xfe.1/",
    ],
)
@pytest.mark.parametrize("way", ["blob", "token"])
async def test_a_registry_leads_it_to_no_address_of_the_cluster(
    tmp_path: Path, place: str, way: str
) -> None:
    async with pull_world(tmp_path, _OUTSIDE) as world:
        world.registry.place = place if way == "blob" else ""
        world.registry.bearer, world.registry.realm = way == "token", place
        status, body, _ = await world.ask(_BLOB)
        assert status == 403, body
        said = ("the pull proxy may not call", "that the pull proxy may call", "cannot be read")
        assert any(each in body.decode() for each in said)


async def test_a_role_leads_it_to_no_address_of_the_cluster(tmp_path: Path) -> None:
    async with pull_world(tmp_path, _OUTSIDE) as world:
        world.token = world.grant(pattern="100.127.0.6:6443")
        said = await world.refused(registry="100.127.0.6:6443")
        assert "which the pull proxy may not call" in said


async def test_a_public_registry_leads_it_to_no_private_address(
    world: PullWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def store(request: web.BaseRequest) -> web.StreamResponse:
        return await world.registry.blob(request)

    place = (await world.serve(store)).replace("127.0.0.1", "localhost")
    world.registry.place = f"https://{place}/blob"
    assert (await world.ask(_BLOB))[0] == 200

    async def public(host: str) -> list[IPv4Address]:
        return [IPv4Address("8.8.8.8")]

    monkeypatch.setattr(upstream, "resolve", public)
    status, body, _ = await world.ask(_BLOB)
    assert status == 403
    assert "localhost: it has no address that the pull proxy may call" in body.decode()
    world.registry.place = "https://10.0.0.1/blob"
    assert "refers to 10.0.0.1" in (await world.ask(_BLOB))[1].decode()


async def test_a_registry_leads_it_to_no_plain_http_and_not_in_circles(world: PullWorld) -> None:
    for place, said in (
        ("http://127.0.0.1:80/", "not of https"),
        ("file:///etc/passwd", "not of https"),
        ("https://[::1", "cannot be read"),
        (_BLOB, "redirects too often"),
    ):
        world.registry.place = place
        status, body, _ = await world.ask(_BLOB)
        assert (status, said in body.decode()) == (403, True), body


async def test_a_registrys_errors_are_not_passed_on(world: PullWorld) -> None:
    """Their text could contain what the registry saw, such as the credential."""

    async def store(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500, text=f"you said {PASSWORD}", headers={"Set-Cookie": "a=b"})

    world.registry.place = f"https://{await world.serve(store)}/blob"
    status, body, headers = await world.ask(_BLOB)
    assert (status, "Set-Cookie" in headers) == (502, False)
    assert PASSWORD not in json.dumps([body.decode(), headers])
