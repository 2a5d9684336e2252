"""Looks up the sidecars of a new pod, from caches that may lag."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import structlog

from monopod.api import keys
from monopod.api.sidecar_injections import AnyInjection
from monopod.fargate.sidecars import Sidecars
from monopod.kube import Key, KubeError
from monopod.webhooks.expectations import Expectations
from monopod.webhooks.sidecar_index import (
    EVERYWHERE,
    Prepared,
    SidecarIndex,
    prepare_all,
)

_READ_TIMEOUT_S: Final = 1.0
"""Much less than the webhook's timeout at the API server."""
_log: Final = structlog.get_logger("sidecars")


class SidecarSource(Protocol):
    """Reads from the API server what the caches may lack."""

    async def read(self, namespace: str) -> Sequence[AnyInjection]:
        """List a namespace's injections, or the cluster-scoped ones for ``EVERYWHERE``.

        Raises:
            KubeError: The list failed.
        """
        ...

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """Return a namespace's labels, from the cache if it has them.

        Raises:
            KubeError: It could not be read.
        """
        ...


class SidecarLookup:
    """Matches against cached injections, or lists them if the cache may be incomplete."""

    def __init__(
        self,
        index: SidecarIndex,
        source: SidecarSource,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._source = source
        self._clock = clock
        # By namespace, so that one tenant's changes make no other's pods wait.
        self._expected: dict[str, Expectations] = {}
        self._started = Expectations(clock)

    def announce(self, namespace: str, key: Key, generation: int) -> None:
        """Note a generation of an injection that the API server may be about to store."""
        if namespace not in self._expected:
            self._expected = {
                name: each
                for name, each in self._expected.items()
                if each.outstanding(self._known(name))
            }
            self._expected[namespace] = Expectations(self._clock, starting=False)
        self._expected[namespace].announce(key, generation)

    async def choose(self, namespace: str, labels: Mapping[str, str]) -> list[Sidecars]:
        """Return the sidecars of pods of a namespace with these labels."""
        found, everywhere = await asyncio.gather(
            self._current(namespace), self._current(EVERYWHERE)
        )
        chosen = [each for each in found if each.selects(labels, {})]
        # No cluster-scoped injection selects pods that the cluster depends on.
        if everywhere and namespace not in keys.SYSTEM_NAMESPACES:
            there = await self._labels(namespace)
            if there is not None:
                chosen += [each for each in everywhere if each.selects(labels, there)]
        return [each.sidecars for each in chosen if each.sidecars is not None]

    async def _current(self, namespace: str) -> Collection[Prepared]:
        expected = self._expected.get(namespace)
        if not self._started.outstanding({}) and not (
            expected is not None and expected.outstanding(self._known(namespace))
        ):
            return self._index.of(namespace).values()
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return prepare_all(await self._source.read(namespace))
        except (KubeError, TimeoutError) as error:
            _log.warning("sidecar_injection_list_failed", namespace=namespace, why=str(error))
            return self._index.of(namespace).values()

    def _known(self, namespace: str) -> dict[str, int]:
        return {key: each.generation for key, each in self._index.of(namespace).items()}

    async def _labels(self, namespace: str) -> Mapping[str, str] | None:
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return await self._source.namespace_labels(namespace)
        except (KubeError, TimeoutError) as error:
            _log.warning("namespace_get_failed", namespace=namespace, why=str(error))
            return None
