"""A typed client for the API server: lightkube's models and kubeconfigs, our own errors and watch.

lightkube's own client is not used: its watch loses deletions when it reconnects, it cannot request
bookmarks or deletion preconditions, and it leaves network errors to the caller.
"""

import asyncio
import enum
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import httpx2
import msgspec
import structlog
from lightkube.core import resource as res
from lightkube.models import core_v1 as models
from lightkube.models import meta_v1, policy_v1
from lightkube.resources import core_v1

from monopod.kube import codec, objects
from monopod.kube.codec import Query
from monopod.kube.connections import Connections, Upgrade

_T = TypeVar("_T", bound=res.Resource)

_PAGE: Final = 500
_SENDING: Final = ("http11.send_request_headers.started", "http11.send_request_body.started")
_encode: Final = msgspec.json.encode
_log: Final = structlog.get_logger("client")


class PatchType(enum.Enum):
    """Content type by which the server interprets a patch."""

    MERGE = "application/merge-patch+json"
    """Maps are merged, lists are replaced, ``None`` removes."""
    STRATEGIC = "application/strategic-merge-patch+json"
    """Like merge, but keyed lists (a pod's conditions) merge too. Built-in kinds only."""
    JSON = "application/json-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Listing(Generic[_T]):
    """All objects of a kind at one resource version."""

    items: tuple[_T, ...]
    version: str
    """The resource version that a watch continues from."""


Guard = Callable[[], None]
"""Raises ``KubeError`` if a write must not be sent now."""


class _ListMeta(msgspec.Struct):
    resourceVersion: str = ""  # noqa: N815
    continue_: str = msgspec.field(name="continue", default="")


class _RawList(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class Client:
    """Typed verbs of the API server. Each raises ``KubeError`` or a subclass of it."""

    def __init__(
        self, connections: Connections, field_manager: str, guard: Guard | None = None
    ) -> None:
        self._connections = connections
        self._field_manager = field_manager
        self._guard = guard
        self._lent = connections.for_request

    def for_renewals(self) -> "Client":
        """Return a client whose requests wait for no other client's."""
        client = Client(self._connections, self._field_manager)
        client._lent = self._connections.for_renewal
        return client

    def guarded(self, guard: Guard) -> "Client":
        """Return a client over the same connections whose writes ask first.

        Args:
            guard: Called just before each part of a write is handed to the connection, after any
                wait for one; it raises ``KubeError`` if the write must not be sent. Reads do not
                ask.
        """
        return Client(self._connections, self._field_manager, guard)

    async def get(self, kind: type[_T], name: str, namespace: str | None = None) -> _T:
        """Read one object.

        Raises:
            NotFoundError: No object has this name.
        """
        return codec.decode(kind, await self._ask("GET", codec.path_of(kind, namespace, name)))

    async def create(self, obj: _T, namespace: str | None = None, *, dry_run: bool = False) -> _T:
        """Create an object; its namespace comes from its metadata unless given.

        Args:
            obj: The object.
            namespace: Its namespace.
            dry_run: Only answer whether it could be created now.

        Raises:
            AlreadyExistsError: An object of this name exists.
            InvalidError: The server rejects the object.
        """
        kind = type(obj)
        path = codec.path_of(kind, namespace or objects.meta(obj).namespace, None)
        query = {"dryRun": "All" if dry_run else None}
        return codec.decode(kind, await self._ask("POST", path, query, body=objects.with_type(obj)))

    async def replace(self, obj: _T, subresource: str | None = None) -> _T:
        """Replace a whole object; its ``resourceVersion`` guards against lost updates.

        Fields that our models lack are lost: use ``patch`` for objects that others own.

        Raises:
            ConflictError: The object has changed since it was read.
        """
        kind = type(obj)
        metadata = objects.meta(obj)
        path = codec.path_of(kind, metadata.namespace, metadata.name, subresource)
        return codec.decode(kind, await self._ask("PUT", path, body=objects.with_type(obj)))

    async def patch(
        self,
        kind: type[_T],
        name: str,
        patch: Mapping[str, Any] | Sequence[Mapping[str, Any]] | res.Resource,
        namespace: str | None = None,
        *,
        kind_of_patch: PatchType = PatchType.MERGE,
        subresource: str | None = None,
        force: bool = False,
        field_manager: str | None = None,
    ) -> _T:
        """Patch an object; ``subresource="status"`` patches its status.

        A ``metadata.resourceVersion`` or ``metadata.uid`` in the patch is a precondition.

        Raises:
            ConflictError: The precondition fails, or another manager owns a field.
        """
        query: dict[str, str | bool | None] = {"fieldManager": field_manager or self._field_manager}
        if kind_of_patch is PatchType.APPLY:
            query["force"] = force
        path = codec.path_of(kind, namespace, name, subresource)
        body = await self._ask("PATCH", path, query, body=patch, content_type=kind_of_patch.value)
        return codec.decode(kind, body)

    async def apply(
        self,
        obj: _T,
        *,
        subresource: str | None = None,
        force: bool = True,
        field_manager: str | None = None,
    ) -> _T:
        """Apply the fields we own (server-side apply); creates the object if it is missing."""
        return await self.patch(
            type(obj),
            objects.name_of(obj),
            objects.with_type(obj),
            objects.meta(obj).namespace,
            kind_of_patch=PatchType.APPLY,
            subresource=subresource,
            force=force,
            field_manager=field_manager,
        )

    async def delete(
        self,
        kind: type[res.Resource],
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        """Delete an object.

        Args:
            kind: Its class.
            name: Its name.
            namespace: Its namespace.
            uid: Delete only the object with this uid, not a later one of the same name.
            version: Delete only this resource version.
            grace_period_s: Seconds a pod gets to terminate; 0 removes the object at once.

        Raises:
            NotFoundError: The object does not exist.
            ConflictError: ``uid`` or ``version`` differs.
        """
        options = meta_v1.DeleteOptions(
            gracePeriodSeconds=grace_period_s,
            preconditions=meta_v1.Preconditions(uid=uid, resourceVersion=version)
            if uid or version
            else None,
        )
        await self._ask("DELETE", codec.path_of(kind, namespace, name), body=options)

    async def bind(self, pod: core_v1.Pod, node: str) -> None:
        """Bind a pod, by its uid, to a node; a binding is final.

        Raises:
            ConflictError: The pod is bound already, or another pod has this name now.
            NotFoundError: The pod does not exist.
        """
        metadata = objects.meta(pod)
        binding = core_v1.Binding(
            apiVersion="v1",
            kind="Binding",
            metadata=meta_v1.ObjectMeta(
                name=metadata.name, namespace=metadata.namespace, uid=metadata.uid
            ),
            target=models.ObjectReference(apiVersion="v1", kind="Node", name=node),
        )
        path = codec.path_of(core_v1.Pod, metadata.namespace, metadata.name, "binding")
        await self._ask("POST", path, body=binding)

    async def evict(
        self,
        name: str,
        namespace: str,
        *,
        uid: str | None = None,
        dry_run: bool = False,
        grace_period_s: int | None = None,
    ) -> None:
        """Evict a pod by the Eviction API, which honours PodDisruptionBudgets.

        Args:
            name: Its name.
            namespace: Its namespace.
            uid: Evict only the pod with this uid, not a later one of the same name.
            dry_run: Only answer whether it could be evicted now.
            grace_period_s: Instead of the pod's own grace period.

        Raises:
            EvictionRefusedError: A PodDisruptionBudget forbids it.
            NotFoundError: The pod does not exist.
            ConflictError: ``uid`` differs.
        """
        eviction = policy_v1.Eviction(
            apiVersion="policy/v1",
            kind="Eviction",
            metadata=meta_v1.ObjectMeta(name=name, namespace=namespace),
            deleteOptions=meta_v1.DeleteOptions(
                preconditions=meta_v1.Preconditions(uid=uid) if uid else None,
                dryRun=["All"] if dry_run else None,
                gracePeriodSeconds=grace_period_s,
            ),
        )
        path = codec.path_of(core_v1.Pod, namespace, name, "eviction")
        await self._ask("POST", path, {"dryRun": "All" if dry_run else None}, body=eviction)

    async def raw(self, path: str, query: Query | None = None) -> bytes:
        """Read any path of the API server, such as ``/readyz``."""
        return await self._ask("GET", path, query)

    def upgrade(self, path: str) -> AbstractAsyncContextManager[Upgrade]:
        """Lend what a WebSocket client needs for a path of the API server; a guard is asked."""
        if self._guard is not None:
            self._guard()
        return self._connections.for_upgrade(path)

    async def list_raw(
        self,
        kind: type[res.Resource],
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        page: int = _PAGE,
    ) -> tuple[list[msgspec.Raw], str]:
        """List objects undecoded, with the list's resource version.

        Args:
            kind: Class of the objects.
            namespace: Only in this namespace.
            labels: A label selector.
            fields: A field selector.
            page: Objects in a page (``limit``).

        Raises:
            GoneError: The list's resource version expired between two pages.
        """
        items: list[msgspec.Raw] = []
        token = ""
        while True:
            query: Query = {
                "labelSelector": labels,
                "fieldSelector": fields,
                "limit": page,
                "continue": token or None,
            }
            body = await self._ask("GET", codec.path_of(kind, namespace, None), query)
            part = msgspec.json.decode(body, type=_RawList)
            items += part.items or ()
            token = part.metadata.continue_
            if not token:
                return items, part.metadata.resourceVersion

    @asynccontextmanager
    async def watch_raw(
        self,
        kind: type[res.Resource],
        version: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        timeout_s: int = 300,
        answer_s: float = 10.0,
        idle_s: float = 150.0,
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open a watch and yield its lines, one JSON document each, bookmarks included.

        Args:
            kind: Class of the objects.
            version: Resource version to continue from.
            namespace: Only in this namespace.
            labels: A label selector.
            fields: A field selector.
            timeout_s: Seconds after which the server ends the watch.
            answer_s: Seconds within which the server must send response headers: it does so at
                once, even without events.
            idle_s: Seconds without data after which the connection counts as dead; the server sends
                a bookmark about every minute.

        Raises:
            GoneError: The resource version has expired.
            TransientError: The connection broke or went idle.
        """
        query: Query = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": version,
            "timeoutSeconds": timeout_s,
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        async with self._connections.for_watch() as http:
            request = http.build_request(
                "GET",
                codec.path_of(kind, namespace, None),
                params=codec.text_of(query),
                timeout=httpx2.Timeout(30.0, connect=5.0, read=idle_s),
            )
            try:
                async with asyncio.timeout(answer_s):
                    response = await http.send(request, stream=True)
            except TimeoutError:
                raise codec.no_answer(answer_s) from None
            except httpx2.HTTPError as error:
                raise codec.network_error(error) from error
            try:
                try:
                    if response.is_error:
                        await response.aread()
                        raise codec.error_of(response)
                    yield codec.lines_of(response)
                finally:
                    await response.aclose()
            except httpx2.HTTPError as error:
                raise codec.network_error(error) from error

    async def list(
        self,
        kind: type[_T],
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Listing[_T]:
        """List all objects of a kind, in all namespaces unless one is given."""
        items, version = await self.list_raw(kind, namespace, labels=labels, fields=fields)
        return Listing(tuple(codec.decode(kind, item) for item in items), version)

    async def _ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        extensions: dict[str, Any] = {}
        if self._guard is not None and method != "GET":
            self._guard()
            extensions["trace"] = _before_sending(self._guard)
        async with self._lent() as http:
            try:
                response = await http.request(
                    method,
                    path,
                    params=codec.text_of(query or {}),
                    content=None if body is None else _encode(body),
                    headers=None if body is None else {"Content-Type": content_type},
                    extensions=extensions,
                )
            except httpx2.HTTPError as error:
                _log.debug("api_request_failed", method=method, path=path, why=str(error))
                raise codec.network_error(error) from error
        _log.debug("api_request", method=method, path=path, status=response.status_code)
        if response.is_error:
            raise codec.error_of(response)
        return response.content


def _before_sending(guard: Guard) -> Callable[[str, object], Awaitable[None]]:
    """Return a callback of the HTTP library that asks a guard before it sends anything."""

    async def trace(event: str, _: object) -> None:
        if event in _SENDING:
            guard()

    return trace


@asynccontextmanager
async def connect(kubeconfig: Path, user_agent: str) -> AsyncGenerator[Client]:
    """Open a client; certificate files are reread whenever they change.

    Args:
        kubeconfig: Names the server and our identity; its current context is used.
        user_agent: Program name; up to the first slash or blank it is also our field manager.

    Raises:
        KubeconfigError: The kubeconfig, or a certificate it names, cannot be used.
    """
    connections = Connections(kubeconfig, user_agent)
    try:
        yield Client(connections, user_agent.replace(" ", "/").partition("/")[0])
    finally:
        await connections.close()
