"""Routes requests to operations by method and path, and parses their input."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from monopod.eksapi.errors import EksError, invalid_parameter, malformed

Path = tuple[str, ...]
"""Segments; one in braces matches any segment and names a member of the request."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that is implemented."""

    name: str
    method: str
    path: Path
    request: type[msgspec.Struct]
    response: type[msgspec.Struct]
    uri: Mapping[str, str]
    """Segment of the path → member of the request."""
    query: Mapping[str, tuple[str, bool]]
    """Name in the query → member of the request, and whether it may be repeated."""


@dataclass(frozen=True, slots=True)
class Unimplemented:
    """An operation of the EKS API that is not implemented."""

    name: str
    method: str
    path: Path


class Router:
    """Finds the requested operation."""

    def __init__(
        self, implemented: Iterable[Operation], unimplemented: Iterable[Unimplemented]
    ) -> None:
        self._implemented = tuple(implemented)
        self._unimplemented = tuple(unimplemented)

    def find(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]]:
        """Return the operation and its path parameters.

        Args:
            method: The HTTP method.
            path: As received, still percent-encoded.

        Raises:
            EksError: There is no such operation, or it is not implemented.
        """
        segments = tuple(unquote(each) for each in path.removeprefix("/").split("/"))
        for each in self._implemented:
            if (parameters := _match(each, method, segments)) is not None:
                return each, parameters
        known = next(
            (u for u in self._unimplemented if _match(u, method, segments) is not None), None
        )
        if known is not None:
            raise EksError(
                "UnknownOperationException",
                f"Monopod does not implement {known.name}: it has one cluster, whose profiles"
                " and tags the EKS API manages.",
                404,
            )
        raise EksError("UnknownOperationException", f"There is no {method} {path[:200]}.", 404)


def read_request(
    operation: Operation, parameters: Mapping[str, str], query: str, body: bytes
) -> msgspec.Struct:
    """Return the parsed request.

    Args:
        operation: As :meth:`Router.find` returned it.
        parameters: Likewise.
        query: As received, still percent-encoded.
        body: JSON, for operations whose request has one.

    Raises:
        EksError: The input is invalid for the operation.
    """
    members: dict[str, Any] = {}
    if _has_body(operation):
        members |= _read_body(body)
    members |= {operation.uri[name]: value for name, value in parameters.items()}
    for name, values in _read_query(query).items():
        if name in operation.query:
            member, many = operation.query[name]
            members[member] = values if many else values[-1]
    try:
        # Numbers in a query are strings.
        return msgspec.convert(members, operation.request, strict=not operation.query)
    except msgspec.ValidationError as error:
        raise invalid_parameter(str(error)) from error


def _has_body(operation: Operation) -> bool:
    bound = {*operation.uri.values(), *(member for member, _ in operation.query.values())}
    return not bound.issuperset(operation.request.__struct_fields__)


def _read_body(body: bytes) -> dict[str, Any]:
    try:
        read = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(f"The body of the request is not a JSON object: {error}") from error
    return {name: value for name, value in read.items() if value is not None}


def _read_query(query: str) -> Mapping[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=500)
    except ValueError as error:
        raise malformed(f"The query cannot be read: {error}") from error


def _match(
    operation: Operation | Unimplemented, method: str, segments: Path
) -> Mapping[str, str] | None:
    if operation.method != method or len(operation.path) != len(segments):
        return None
    found: dict[str, str] = {}
    for pattern, segment in zip(operation.path, segments, strict=True):
        if pattern.startswith("{"):
            if not segment:
                return None
            found[pattern.strip("{}")] = segment
        elif pattern != segment:
            return None
    return found
