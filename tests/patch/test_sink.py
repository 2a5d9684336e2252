"""The HTTP sink against servers that accept, refuse, hang and answer garbage."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monopod.controllers.patch import sink
from monopod.controllers.patch.sink import HttpSink, SinkError

pytestmark = [pytest.mark.unit, pytest.mark.row("S21")]

_Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
_EVENT = {"specversion": "1.0", "id": "1", "data": {"detail-type": "x"}}
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def _server(answer: bytes | _Answer) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Serve one answer; yields the URL and the requests."""
    requests: list[bytes] = []
    open_ones: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (
            int(line.partition(b":")[2])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        )
        requests.append(head + await reader.readexactly(length))
        if isinstance(answer, bytes):
            writer.write(answer)
        else:
            await answer(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/secret?token=x", requests
    finally:
        server.close()
        for writer in open_ones:
            writer.close()


async def _failure(answer: bytes | _Answer, timeout_s: float = 5.0) -> SinkError:
    async with _server(answer) as (url, _):
        with pytest.raises(SinkError) as caught:
            await HttpSink(url, None, timeout_s).send(_EVENT)
    assert "secret" not in str(caught.value)
    return caught.value


async def test_a_notice_is_a_cloudevent_in_structured_mode(tmp_path: Path) -> None:
    token = tmp_path / "token"
    for said in ("first", "second"):
        # A new token is used without a restart.
        token.write_text(f"{said}\n")
        async with _server(_ACCEPTED) as (url, requests):
            await HttpSink(url, token, 5.0).send(_EVENT)
        head, _, body = requests[0].partition(b"\r\n\r\n")
        lines = {line.lower() for line in head.decode().splitlines()}
        assert "post /secret?token=x http/1.1" in lines
        assert "content-type: application/cloudevents+json; charset=utf-8" in lines
        assert f"authorization: bearer {said}" in lines
        assert json.loads(body) == _EVENT


async def test_an_endless_answer_that_accepts_is_not_read() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")

    async with _server(endless) as (url, requests):
        await HttpSink(url, None, 5.0).send(_EVENT)
    assert len(requests) == 1


@pytest.mark.parametrize("status", ["400 No", "410 Gone", "503 Busy", "302 Found", "304 No"])
async def test_other_answers_refuse(status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nRetry-After: 7\r\n"
    error = await _failure(f"{answer}Content-Length: 0\r\n\r\n".encode())
    assert (error.reason, error.retry_after_s) == (sink.REFUSED, 7.0)
    assert status[:3] in str(error)


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-x\r\n\r\n", b"\x00\xff" * 5000, b"HTTP/1.1 abc\r\n\r\n", b""]
)
async def test_garbage_is_named(garbage: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(garbage)
        writer.close()

    assert (await _failure(answer)).reason == sink.BAD_ANSWER


async def test_a_sink_that_hangs_or_drips_is_bounded() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Slow: 1\r\n")
            await asyncio.sleep(0.02)

    async def hang(writer: asyncio.StreamWriter) -> None:
        del writer
        await asyncio.Event().wait()

    for answer in (drip, hang):
        assert (await _failure(answer, 0.3)).reason == sink.TIMED_OUT


async def test_an_unreachable_sink_and_an_unreadable_token_are_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError) as caught:
        await HttpSink("http://127.0.0.1:1/", None, 5.0).send(_EVENT)
    assert caught.value.reason == sink.UNREACHABLE
    with pytest.raises(SinkError) as caught:
        await HttpSink("http://127.0.0.1:1/", tmp_path / "none", 5.0).send(_EVENT)
    assert caught.value.reason == sink.BAD_TOKEN
