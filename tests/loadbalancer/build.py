"""Builders of the objects that load balancers are derived from."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.controllers.loadbalancer.services import CLASS, PREFIX
from monopod.kube import codec


def service(
    name: str = "web",
    annotations: Mapping[str, str] | None = None,
    *,
    namespace: str = "default",
    ports: tuple[dict[str, Any], ...] = ({"name": "http", "port": 80},),
    **spec: Any,
) -> Service:
    """A service with a network load balancer; annotations without their prefix."""
    return codec.decode(
        Service,
        msgspec.json.encode(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{namespace}/{name}")),
                    "annotations": {PREFIX + key: of for key, of in (annotations or {}).items()},
                },
                "spec": {
                    "type": "LoadBalancer",
                    "loadBalancerClass": CLASS,
                    "ports": list(ports),
                    **spec,
                },
            }
        ),
    )


READY = {"ready": True, "serving": True, "terminating": False}
ENDING = {"ready": False, "serving": True, "terminating": True}
UNREADY = {"ready": False, "serving": False, "terminating": False}


def slice_of(
    name: str,
    endpoints: Mapping[str, Mapping[str, bool]],
    *,
    namespace: str = "default",
    ports: Mapping[str, int] | None = None,
    node: str = "fargate-ip-192-168-1-2.local-1.compute.internal",
) -> EndpointSlice:
    """An EndpointSlice of a service, with the conditions of each address."""
    return codec.decode(
        EndpointSlice,
        msgspec.json.encode(
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"slice {namespace}/{name}")),
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "endpoints": [
                    {"addresses": [address], "conditions": conditions, "nodeName": node}
                    for address, conditions in endpoints.items()
                ],
                "ports": [
                    {"name": port, "port": number, "protocol": "TCP"}
                    for port, number in (ports or {"http": 8080}).items()
                ],
            }
        ),
    )
