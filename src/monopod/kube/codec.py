"""Encodes requests and decodes responses: paths, queries, errors, lines of a watch."""

from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx2
import msgspec
from lightkube.core import resource as res

from monopod.kube import objects
from monopod.kube.errors import KubeError, TransientError, from_status

_T = TypeVar("_T", bound=res.Resource)

Query = Mapping[str, str | int | bool | None]
"""Query parameters; those that are None are omitted."""


def path_of(
    kind: type[res.Resource],
    namespace: str | None,
    name: str | None,
    subresource: str | None = None,
) -> str:
    """Return the path of an object, or, without a name, of all objects of a kind.

    Raises:
        KubeError: The name is empty, which would mean all objects, or a namespace is missing.
    """
    info = res.api_info(kind)
    owner = info.parent or info.resource
    parts = ["api" if not owner.group else f"apis/{owner.group}", owner.version]
    if namespace and objects.is_namespaced(kind):
        parts += ("namespaces", namespace)
    parts.append(info.plural)
    if name is not None:
        if not name:
            raise KubeError(f"request for a {owner.kind} without a name")
        if objects.is_namespaced(kind) and not namespace:
            raise KubeError(f"request for {owner.kind} {name} without its namespace")
        parts.append(quote(name, safe=""))
    action = subresource or info.action
    if action:
        parts.append(action)
    return "/" + "/".join(parts)


def text_of(query: Query) -> dict[str, str]:
    """Return query parameters as the server parses them."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def decode(kind: type[_T], body: bytes | msgspec.Raw) -> _T:
    """Decode an object.

    Raises:
        KubeError: The body is no object of this kind.
    """
    try:
        return objects.with_type(msgspec.json.decode(body, type=kind))
    except msgspec.DecodeError as error:
        raise KubeError(f"malformed {kind.__name__} from the API server: {error}") from error


def error_of(response: httpx2.Response) -> KubeError:
    """Return the error of an unsuccessful response."""
    return from_status(response.content, response.status_code, response.headers.get("Retry-After"))


def network_error(error: httpx2.HTTPError) -> TransientError:
    """Return the error for a request without a response."""
    said = str(error) or type(error).__name__
    return TransientError(f"the API server cannot be reached: {said}", reason="Network")


def no_answer(within_s: float) -> TransientError:
    """Return the error for a watch without response headers in time."""
    return TransientError(f"the API server did not answer within {within_s:g} s", reason="Network")


async def lines_of(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the lines of a response as they arrive; an unfinished last line is dropped."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
