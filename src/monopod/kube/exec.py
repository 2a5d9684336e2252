"""Runs a command in a container, with bytes for its standard input: the exec subresource.

The protocol is WebSocket with Kubernetes' channels (``v5.channel.k8s.io``), which API servers speak
since 1.30. aiohttp is its client: httpx has no WebSockets.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec
from lightkube.resources.core_v1 import Pod

from monopod.api.metadata import name_of, namespace_of
from monopod.kube import codec
from monopod.kube.client import Client
from monopod.kube.errors import KubeError, TransientError, from_status

_PROTOCOL: Final = "v5.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _ERROR, _CLOSE = 0, 1, 2, 3, 255
_CHUNK_BYTES: Final = 16384
_LARGEST_OUTPUT: Final = 65536
_SUCCESS: Final = "Success"


class ExecError(KubeError):
    """A command in a container failed; the message has its status and what it printed."""


async def run_in_pod(
    client: Client,
    pod: Pod,
    container: str,
    command: Sequence[str],
    stdin: bytes,
    *,
    timeout_s: float,
) -> bytes:
    """Run a command in a running container, to its end; returns its standard output.

    Args:
        client: Needs the verbs ``get`` and ``create`` of ``pods/exec``.
        pod: The pod.
        container: The container's name.
        command: The program and its arguments.
        stdin: What it reads.
        timeout_s: Seconds for all of it.

    Raises:
        ExecError: The command failed.
        TransientError: The connection could not be made, broke or took too long.
        KubeError: The API server refused, in a subclass that says how.
    """
    query = [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    query += [("command", word) for word in command]
    name, namespace = name_of(pod), namespace_of(pod)
    path = codec.path_of(Pod, namespace, name, "exec")
    try:
        async with (
            asyncio.timeout(timeout_s),
            client.upgrade(path) as upgrade,
            aiohttp.ClientSession(middlewares=(_raise_refusal,)) as session,
            session.ws_connect(
                upgrade.url,
                params=query,
                protocols=(_PROTOCOL,),
                ssl=upgrade.context,
                headers=upgrade.headers,
            ) as channels,
        ):
            return await _converse(channels, stdin)
    except TimeoutError:
        raise TransientError(f"exec in {namespace}/{name} took over {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise TransientError(f"exec in {namespace}/{name} failed: {error}") from error


async def _raise_refusal(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise what a server answers that does not upgrade: aiohttp's own error is without its body.

    Raises:
        KubeError: The server's ``Status``.
    """
    response = await send(request)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        retry_after = response.headers.get("Retry-After")
        raise from_status(await response.read(), response.status, retry_after)
    return response


async def _converse(channels: aiohttp.ClientWebSocketResponse, stdin: bytes) -> bytes:
    for start in range(0, len(stdin), _CHUNK_BYTES):
        await channels.send_bytes(bytes([_STDIN]) + stdin[start : start + _CHUNK_BYTES])
    await channels.send_bytes(bytes([_CLOSE, _STDIN]))
    output = {_STDOUT: b"", _STDERR: b""}
    async for message in channels:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel == _ERROR:
            return _result(data, output[_STDOUT], output[_STDERR])
        if channel in output:
            output[channel] = (output[channel] + data)[-_LARGEST_OUTPUT:]
    raise TransientError("the exec connection ended before the command did")


def _result(status: bytes, stdout: bytes, stderr: bytes) -> bytes:
    try:
        ended = msgspec.json.decode(status, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise TransientError(
            f"the exec connection ended with an unknown status: {error}"
        ) from error
    if ended.get("status") == _SUCCESS:
        return stdout
    said = stderr.decode(errors="replace").strip()
    raise ExecError(": ".join(filter(None, (str(ended.get("message", "failed")), said))))
