"""Services."""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from lightkube.resources.core_v1 import Service

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
