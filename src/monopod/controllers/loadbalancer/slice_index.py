"""Indexes EndpointSlices by their service."""

from collections import defaultdict
from collections.abc import Sequence

from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.loadbalancer.targets import service_key
from monopod.kube import Change, Deleted, Informer, Key, Modified


class SliceIndex:
    """The EndpointSlices of an informer, by the key of their service."""

    def __init__(self, slices: Informer[EndpointSlice]) -> None:
        """Subscribe to the informer."""
        self._by_service: dict[str, dict[Key, EndpointSlice]] = defaultdict(dict)
        slices.subscribe(self._changed)

    def get(self, service: Key) -> Sequence[EndpointSlice]:
        """Return a service's slices."""
        return tuple(self._by_service.get(service, {}).values())

    def _changed(self, change: Change[EndpointSlice]) -> None:
        if isinstance(change, Modified):
            self._by_service[service_key(change.old)].pop(change.key, None)
        if isinstance(change, Deleted):
            self._by_service[service_key(change.object)].pop(change.key, None)
        else:
            self._by_service[service_key(change.object)][change.key] = change.object
