"""Pulls by the proxy, from a registry and with a client that speak real HTTPS."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.framework.eventually import eventually
from tests.pullproxy.world import (
    BLOB,
    DIGEST,
    MANIFEST,
    PASSWORD,
    TYPE,
    PullWorld,
    pull_world,
)

pytestmark = pytest.mark.unit

_BLOB = f"/v2/team/web/blobs/{DIGEST}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[PullWorld]:
    async with pull_world(tmp_path) as made:
        yield made


@pytest.mark.row("S13")
@pytest.mark.parametrize("bearer", [False, True], ids=["basic", "bearer"])
async def test_a_machine_pulls_without_a_password(world: PullWorld, bearer: bool) -> None:
    world.registry.bearer = bearer
    status, body, headers = await world.ask(headers={"Accept": TYPE})
    assert (status, body) == (200, MANIFEST)
    assert headers["Content-Type"] == TYPE
    assert headers["Docker-Content-Digest"].startswith("sha256:")
    assert world.registry.seen[-1].headers["Accept"] == TYPE
    assert (await world.ask(_BLOB))[:2] == (200, BLOB)
    status, body, headers = await world.ask(method="HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len(MANIFEST)))


async def test_a_token_is_asked_for_once(world: PullWorld) -> None:
    world.registry.bearer = True
    for _ in range(3):
        assert (await world.ask(_BLOB))[0] == 200
    assert world.registry.tokens == 1
    # The registry forgets it.
    world.registry.tokens = 7
    assert (await world.ask(_BLOB))[0] == 200
    assert world.registry.tokens == 8


async def test_a_pull_goes_on_where_it_broke_off(world: PullWorld) -> None:
    status, body, headers = await world.ask(_BLOB, headers={"Range": "bytes=1000-"})
    assert (status, body) == (206, BLOB[1000:])
    assert headers["Content-Range"] == f"bytes 1000-{len(BLOB) - 1}/{len(BLOB)}"


async def test_a_registry_that_breaks_off_makes_no_whole_answer(world: PullWorld) -> None:
    world.registry.halt_after = 100_000
    with pytest.raises(Exception, match=r"payload is not completed|Server disconnected"):
        await world.ask(_BLOB)


async def test_a_redirect_is_followed_without_the_password(world: PullWorld) -> None:
    seen: list[web.BaseRequest] = []

    async def store(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        return await world.registry.blob(request)

    place = await world.serve(store)
    world.registry.place = f"https://{place}/b%2Flob?signature=a%2Bb%3D"
    status, body, _ = await world.ask(_BLOB, headers={"Range": "bytes=5-"})
    assert (status, body) == (206, BLOB[5:])
    assert seen[0].raw_path == "/b%2Flob?signature=a%2Bb%3D"
    assert "Authorization" not in seen[0].headers


async def test_what_a_registry_says_reaches_the_user(world: PullWorld) -> None:
    async def said(*words: str, **more: str) -> tuple[int, str]:
        status, body, _ = await world.ask(*words, **more)
        return status, json.loads(body)["errors"][0]["message"]

    name = world.registry.endpoint
    assert await said("/v2/team/web/manifests/2") == (404, f"{name} answered 404 Not Found")
    world.token = world.grant(password="wrong")  # noqa: S106
    message = f"{name} answered 401 Unauthorized to the credential of ExecutionRole pullers"
    assert await said() == (403, message)
    world.registry.bearer = True
    status, text = await said()
    assert (status, "token service" in text, "401 Unauthorized" in text) == (403, True, True)
    world.token = world.grant(pattern="*.invalid")
    status, text = await said(registry="registry.invalid")
    assert status == 403
    assert text.startswith("registry.invalid cannot be called: registry.invalid: ")


async def test_an_unknown_authority_is_named(world: PullWorld) -> None:
    _, port = world.registry.endpoint.split(":")
    world.token = world.grant(pattern=f"localhost:{port}")
    status, body, _ = await world.ask(registry=f"localhost:{port}")
    assert status == 403
    assert "name its authority in the execution role's registryAuthorities" in body.decode()


async def test_a_registry_that_is_down_is_an_error_of_the_gateway(world: PullWorld) -> None:
    world.token = world.grant(pattern="127.0.0.1:1")
    assert (await world.ask(registry="127.0.0.1:1"))[0] == 502


async def test_more_requests_than_allowed_wait_for_the_machine(tmp_path: Path) -> None:
    async with pull_world(tmp_path, requests=2) as world:
        go = asyncio.Event()
        held: list[web.BaseRequest] = []

        async def store(request: web.BaseRequest) -> web.StreamResponse:
            held.append(request)
            await go.wait()
            return await world.registry.blob(request)

        world.registry.place = f"https://{await world.serve(store)}/blob"
        pulls = [asyncio.create_task(world.ask(_BLOB)) for _ in range(2)]

        async def both() -> bool:
            return len(held) == 2

        await eventually(both, "two requests are in progress", 30)
        assert (await world.ask())[0] == 429
        other = world.grant("mvm-other", "127.0.0.2")
        assert (await world.ask(token=other, address="127.0.0.2"))[0] == 200
        go.set()
        assert [(await each)[0] for each in pulls] == [200, 200]
        assert (await world.ask())[0] == 200


async def test_a_registry_that_stalls_is_cut_off(tmp_path: Path) -> None:
    async with pull_world(tmp_path, stalled_s=0.2) as world:
        go = asyncio.Event()

        async def store(request: web.BaseRequest) -> web.StreamResponse:
            await go.wait()
            return await world.registry.blob(request)

        world.registry.place = f"https://{await world.serve(store)}/blob"
        assert (await world.ask(_BLOB))[0] == 504
        go.set()


async def test_no_log_has_a_credential(world: PullWorld, capfd: pytest.CaptureFixture[str]) -> None:
    await world.ask()
    await world.ask("/v2/team/web/manifests/2")
    world.token = world.grant(password=f"{PASSWORD}-wrong")
    await world.ask()
    said = "".join(capfd.readouterr())
    assert "team/web" in said
    assert PASSWORD not in said
    assert world.token.partition(".")[2] not in said
