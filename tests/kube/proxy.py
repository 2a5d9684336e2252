"""A proxy between client and API server that can be cut, stalled or closed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from monopod.identity.kubeconfig import render


class Proxy:
    """Forwards bytes until a test interrupts it."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lines: set[asyncio.StreamWriter] = set()
        self._held: set[asyncio.StreamWriter] = set()
        self._open = True
        self.connections = 0

    def hold(self) -> None:
        """Stall the current connections for ever; new connections work."""
        self._held |= self._lines

    def cut(self) -> None:
        """Close the current connections."""
        for line in tuple(self._lines):
            line.transport.abort()

    def close(self) -> None:
        """Close the current connections, and every new one at once."""
        self._open = False
        self.cut()

    def reopen(self) -> None:
        """Accept connections again."""
        self._open = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection(self._host, self._port)
        self._lines |= {writer, up_writer}
        await asyncio.gather(self._pass(reader, up_writer), self._pass(up_reader, writer))
        self._lines -= {writer, up_writer}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if writer not in self._held:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def proxied(url: str, user_directory: Path, to: Path) -> AsyncGenerator[tuple[Proxy, Path]]:
    """A proxy before an API server, and a kubeconfig that goes through it."""
    upstream = urlsplit(url)
    assert upstream.hostname is not None
    assert upstream.port is not None
    proxy = Proxy(upstream.hostname, upstream.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kubeconfig = to / "proxied"
    kubeconfig.write_text(render(f"https://127.0.0.1:{port}", "admin", user_directory))
    try:
        yield proxy, kubeconfig
    finally:
        server.close()
        proxy.close()
        await server.wait_closed()
