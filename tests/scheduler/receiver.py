"""A receiver of traces that accepts, refuses, hangs or answers garbage."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(status: str, body: str = "{}", head: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


OK = http("200 OK")


class Receiver:
    """A server that gives the next of its answers, the last one again and again."""

    def __init__(self, answers: Sequence[bytes | Answer]) -> None:
        self._answers = list(answers)
        self.url = ""
        self.requests: list[dict[str, Any]] = []
        self.heads: list[bytes] = []
        self._handlers: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all handlers; the server takes no more connections."""
        # A connection that was just accepted has neither a transport nor a handler yet.
        for _ in range(10):
            await asyncio.sleep(0)
        for each in self._handlers:
            each.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await asyncio.sleep(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.create_task(self._answer(reader, writer))
        self._handlers.add(handler)
        try:
            await asyncio.wait([handler])
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = (
                int(line.partition(b":")[2])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length:")
            )
            self.heads.append(head)
            self.requests.append(json.loads(await reader.readexactly(length)))
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)

    @property
    def pods(self) -> list[str]:
        """UIDs of the traces that came, in order."""
        return [
            span["traceId"]
            for request in self.requests
            for span in request["resourceSpans"][0]["scopeSpans"][0]["spans"]
            if "parentSpanId" not in span
        ]


@asynccontextmanager
async def receiver(*answers: bytes | Answer) -> AsyncGenerator[Receiver]:
    made = Receiver(answers)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces?key=secret"
    try:
        yield made
    finally:
        server.close()
        await made.close()
