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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
        writer.close()

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
