"""The informer against a scripted server: responses that no real one gives within seconds."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from lightkube.resources.core_v1 import ConfigMap

from monopod.kube import Change, Client, Informer, connect
from tests.kube.waiting import running, until

pytestmark = pytest.mark.unit


def thing(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}, **more}


def line(kind: str, obj: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


_NO_ANSWER = 0


class _Script:
    """The server's responses: lists in order, then watches in order, then silence."""

    def __init__(self) -> None:
        self.lists: list[tuple[int, list[dict[str, Any]]] | int] = []
        self.watches: list[list[bytes] | int] = []
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.asked.append("list")
            return self._list()
        self.asked.append(request.query["resourceVersion"])
        assert request.query["allowWatchBookmarks"] == "true"
        assert 300 <= int(request.query["timeoutSeconds"]) <= 600
        part = self.watches.pop(0) if self.watches else None
        if part == _NO_ANSWER:
            await asyncio.Event().wait()
        if isinstance(part, int):
            return web.json_response({"message": "scripted"}, status=part)
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in part or ():
            await response.write(chunk)
            # Sends the chunk as a separate packet.
            await asyncio.sleep(0)
        if part is None:
            await asyncio.Event().wait()
        return response

    def _list(self) -> web.StreamResponse:
        part = self.lists.pop(0)
        if isinstance(part, int):
            headers = {"Retry-After": "0.2"}
            return web.json_response({"message": "scripted"}, status=part, headers=headers)
        version, items = part
        return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": items})


class _Fixture:
    def __init__(self, script: _Script, client: Client) -> None:
        self.script = script
        self.informer = Informer(client, ConfigMap, answer_s=0.5)
        self.changes: list[str] = []
        self.informer.subscribe(self._take)

    def _take(self, change: Change[ConfigMap]) -> None:
        self.changes.append(f"{type(change).__name__} {change.key}")


@pytest.fixture
async def scripted(tmp_path: Path) -> AsyncIterator[_Fixture]:
    script = _Script()
    application = web.Application()
    application.router.add_get("/api/v1/configmaps", script.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    kubeconfig = tmp_path / "kubeconfig"
    server = {"server": f"http://127.0.0.1:{port}"}
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "x",
                "clusters": [{"name": "x", "cluster": server}],
                "users": [{"name": "x", "user": {"token": "t"}}],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            }
        )
    )
    async with connect(kubeconfig, "tests") as client:
        yield _Fixture(script, client)
    await runner.cleanup()


async def test_bookmarks_advance_the_resource_version(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [(10, [thing("a", 5)])]
    bookmark = {"metadata": {"resourceVersion": "50"}}
    script.watches = [[line("MODIFIED", thing("a", 20)), line("BOOKMARK", bookmark)], []]
    async with running(scripted.informer.run()):
        await until(lambda: len(script.asked) == 4)
    assert script.asked == ["list", "10", "50", "50"]
    assert scripted.changes == ["Added a", "Modified a"]


async def test_a_watch_that_times_out_is_no_failure(scripted: _Fixture) -> None:
    scripted.script.lists = [(10, [])]
    scripted.script.watches = [[], [], []]
    async with running(scripted.informer.run()):
        await until(lambda: len(scripted.script.asked) == 5)
        assert scripted.informer.failures == 0


@pytest.mark.parametrize("said", ["in the stream", "as an answer"])
async def test_gone_causes_a_relist_that_finds_deletions(scripted: _Fixture, said: str) -> None:
    script = scripted.script
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    script.lists = [(10, [thing("a", 5), thing("b", 6)]), (90, [thing("b", 6)])]
    script.watches = [[line("ERROR", gone)] if said == "in the stream" else 410]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "list", "90"])
    assert scripted.changes == ["Added a", "Added b", "Deleted a"]


async def test_duplicate_events_are_reported_once(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [(10, [thing("a", 5)])]
    again = [line("ADDED", thing("a", 5)), line("DELETED", thing("never", 6))]
    script.watches = [[*again, line("DELETED", thing("a", 7)), line("DELETED", thing("a", 7))]]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "7"])
    assert scripted.changes == ["Added a", "Deleted a"]


async def test_lines_split_over_chunks(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [(10, [])]
    whole = (
        line("ADDED", thing("a", 11, data={"x": "ü" * 9})) + b"\n" + line("ADDED", thing("b", 12))
    )
    script.watches = [[whole[place : place + 7] for place in range(0, len(whole), 7)]]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "12"])
    assert scripted.changes == ["Added a", "Added b"]


async def test_an_object_that_violates_its_schema_is_skipped(scripted: _Fixture) -> None:
    script = scripted.script
    bad = thing("bad", 11, data=["not", "a", "map"])
    script.lists = [(10, [thing("a", 5), bad])]
    script.watches = [[line("ADDED", bad), line("ADDED", thing("b", 12)), line("MODIFIED", bad)]]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "11"])
    assert scripted.changes == ["Added a", "Added b"]


async def test_an_unparsable_line_causes_a_relist(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [(10, []), (11, [thing("a", 5)])]
    script.watches = [[b"<html>bad gateway</html>\n"]]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "list", "11"])
    assert scripted.changes == ["Added a"]


async def test_errors_are_retried_after_the_requested_pause(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [429, 500, 403, (10, [thing("a", 5)])]
    script.watches = [500, 401]
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with running(scripted.informer.run()):
        await scripted.informer.synced()
        assert loop.time() - began >= 0.4, "twice the pause that the server requested"
        await until(lambda: script.asked[4:] == ["10", "10", "10"])
    assert scripted.changes == ["Added a"]


async def test_a_watch_without_a_response_is_reopened(scripted: _Fixture) -> None:
    script = scripted.script
    script.lists = [(10, [])]
    script.watches = [_NO_ANSWER, [line("ADDED", thing("a", 11))]]
    async with running(scripted.informer.run()):
        await until(lambda: script.asked == ["list", "10", "10", "11"])
    assert scripted.changes == ["Added a"]
