"""Derives a service's targets from its EndpointSlices. Pure."""

from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv4Address

from lightkube.models import discovery_v1 as models
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.loadbalancer.model import Target
from monopod.kube import make_key, meta

SERVICE_LABEL = "kubernetes.io/service-name"


def service_key(slice_: EndpointSlice) -> str:
    """Return the key of a slice's service; empty means that it has none."""
    metadata = meta(slice_)
    name = (metadata.labels or {}).get(SERVICE_LABEL, "")
    return make_key(name, metadata.namespace) if name else ""


def targets(slices: Iterable[EndpointSlice], port_name: str) -> tuple[Target, ...]:
    """Return the targets of a port.

    Ready endpoints, and terminating ones that still serve, as draining. If all are terminating,
    they continue to get connections, as with kube-proxy.

    Args:
        slices: The service's slices.
        port_name: The service port's name; empty means that it has none.
    """
    found: dict[tuple[IPv4Address, int], bool] = {}
    for slice_ in slices:
        if slice_.addressType != "IPv4":
            continue
        port = _port(slice_.ports or (), port_name)
        if port is None:
            continue
        for endpoint in slice_.endpoints or ():
            state = _draining(endpoint)
            if state is None:
                continue
            for address in _addresses(endpoint.addresses):
                # An address may be in two slices while it moves from one to the other.
                found[address, port] = found.get((address, port), True) and state
    only_draining = all(found.values())
    return tuple(
        Target(address, port, draining and not only_draining)
        for (address, port), draining in sorted(found.items())
    )


def _port(ports: Sequence[models.EndpointPort], name: str) -> int | None:
    for each in ports:
        if (each.name or "") == name and (each.protocol or "TCP") == "TCP":
            return each.port
    return None


def _draining(endpoint: models.Endpoint) -> bool | None:
    """Return whether an endpoint is draining; None means that it is not a target."""
    conditions = endpoint.conditions
    if conditions is None or conditions.ready is None or conditions.ready:
        return False
    # "serving" is what "ready" would be if the pod were not terminating.
    return True if conditions.serving and conditions.terminating else None


def _addresses(texts: Iterable[str]) -> Iterable[IPv4Address]:
    for text in texts:
        try:
            yield IPv4Address(text)
        except AddressValueError:
            continue
