"""EndpointSlices."""

import uuid
from collections.abc import Mapping

import msgspec
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.kube import codec

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
