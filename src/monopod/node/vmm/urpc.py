"""A minimal client of gVisor's control server: JSON calls on a Unix socket, with descriptors.

Only the launch talks to a sandbox, before any code of the guest runs. The socket has no name by
then, and both connections end with the launch.
"""

import asyncio
import json
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from monopod.errors import MonopodError

_LARGEST_ANSWER: Final = 64 << 10


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
    answer = b""
    try:
        socket.send_fds(client, [request], descriptors)
        while len(answer) < _LARGEST_ANSWER:
            part = await asyncio.get_running_loop().sock_recv(client, _LARGEST_ANSWER)
            if not part:
                raise UrpcError(f"the sandbox ended before it answered {method}")
            answer += part
            try:
                found: dict[str, Any] = json.loads(answer)
                break
            except ValueError:
                continue
        else:
            raise UrpcError(f"the answer to {method} is too long")
    except OSError as error:
        raise UrpcError(f"cannot talk to the sandbox: {error}") from error
    if not found.get("success"):
        raise UrpcError(f"{method} failed: {str(found.get('err'))[:200]}")
