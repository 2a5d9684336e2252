"""A minimal client of gVisor's control server: JSON calls on a Unix socket, with descriptors.

Only the launch talks to a sandbox, before any code of the guest runs. The socket has no name by
then, and both connections end with the launch.
"""

import asyncio
import json
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from monopod.errors import MonopodError

_LARGEST_ANSWER: Final = 64 << 10
_SHOWN_CHARS: Final = 200


class UrpcError(MonopodError):
    """The sandbox refused a call, or did not answer."""


def connected() -> tuple[socket.socket, socket.socket]:
    """Return a listening socket for a sandbox and a client that is already connected to it.

    Raises:
        OSError: They cannot be made.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with tempfile.TemporaryDirectory(prefix="monopod-") as directory:
            name = str(Path(directory, "control"))
            listening.bind(name)
            listening.listen(1)
            client.connect(name)
    except BaseException:
        listening.close()
        client.close()
        raise
    client.setblocking(False)
    return listening, client


async def call(
    client: socket.socket, method: str, argument: object, descriptors: Sequence[int] = ()
) -> None:
    """Call a method and wait for its end.

    Raises:
        UrpcError: The sandbox refused, or it ended.
    """
    request = json.dumps({"method": method, "arg": argument}).encode()
    try:
        socket.send_fds(client, [request], descriptors)
        answer = await _answer(client)
    except OSError as error:
        raise UrpcError(f"cannot talk to the sandbox: {error}") from error
    match answer:
        case None:
            raise UrpcError(f"the sandbox ended before it answered {method}")
        case {"success": True}:
            return
        case {"success": False, "err": str(why)}:
            raise UrpcError(f"{method} failed: {why[:_SHOWN_CHARS]}")
        case _:
            raise UrpcError(f"{method} got an invalid answer")


async def _answer(client: socket.socket) -> object:
    """Read one JSON value; None means that the connection ended before it was complete."""
    received = b""
    while len(received) < _LARGEST_ANSWER:
        part = await asyncio.get_running_loop().sock_recv(client, _LARGEST_ANSWER)
        if not part:
            return None
        received += part
        with suppress(ValueError):
            return json.loads(received)
    return ()
