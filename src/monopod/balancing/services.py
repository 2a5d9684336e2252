"""Network Load Balancers, from Services of type LoadBalancer. Pure.

Claimed are those of class ``service.k8s.aws/nlb`` and those whose annotation says ``external`` or
``nlb-ip``. Whoever names no target type gets IP targets: there are no others here.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import Final

from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api import keys
from monopod.balancing.annotations import HealthNames, Reader, network_of
from monopod.balancing.model import (
    HealthCheck,
    NetworkListener,
    Protocol,
    Scheme,
    TargetGroup,
)
from monopod.balancing.parts import NOTHING, NetworkPart, Slices, with_targets
from monopod.balancing.wanted import Hint, Refusal, Wanted, balancer_name
from monopod.kube import identity, key_of, meta

CLASS: Final = "service.k8s.aws/nlb"
PREFIX: Final = "service.beta.kubernetes.io/aws-load-balancer-"
_OURS: Final = frozenset({"external", "nlb-ip"})
_TCP_CHECK: Final = HealthCheck(Protocol.TCP, codes="200-399", interval_s=10, timeout_s=10)
_HTTP_TIMEOUT_S: Final = 6
"""Source: the defaults of the AWS Load Balancer Controller, 10 s for TCP and 6 s for HTTP."""
READ: Final = frozenset(
    {
        "type",
        "nlb-target-type",
        "scheme",
        "internal",
        "proxy-protocol",
        "backend-protocol",
        "target-group-attributes",
    }
    | HealthNames().all
)
PASSED_OVER: Final = frozenset(
    {
        "additional-resource-tags",
        "attributes",
        "cross-zone-load-balancing-enabled",
        "ip-address-type",
        "manage-backend-security-group-rules",
        "name",
        "security-groups",
        "subnets",
        "target-node-labels",
    }
)
"""Annotations that concern AWS's own bookkeeping, or what there is only one of here."""


def is_network_balancer(service: Service) -> bool:
    """Whether a service asks for a load balancer of ours."""
    spec = service.spec
    if spec is None or spec.type != "LoadBalancer":
        return False
    if spec.loadBalancerClass:
        return spec.loadBalancerClass == CLASS
    return (meta(service).annotations or {}).get(f"{PREFIX}type", "") in _OURS


def network_part(service: Service) -> NetworkPart | Refusal:
    """Return what a service asks for, or everything that is against it."""
    spec = service.spec or ServiceSpec()
    reader = Reader(PREFIX, meta(service).annotations or {})
    reader.refuse_others(READ | PASSED_OVER)
    reader.require_ip_targets("nlb-target-type", "nlb-ip")
    scheme = _scheme(reader)
    balance = reader.balance("target-group-attributes")
    proxy_protocol = _proxy_protocol(reader)
    backend = _backend_protocol(reader)
    check = _check(reader)
    sources = _sources(reader, spec)
    ports = spec.ports or []
    reader.faults += [
        f"spec.ports[{number}].protocol: {each.protocol} cannot be balanced, only TCP can"
        for number, each in enumerate(ports)
        if (each.protocol or "TCP") != "TCP"
    ]
    if reader.faults:
        return Refusal(service, tuple(reader.faults))
    return NetworkPart(
        scheme=scheme,
        listeners=tuple(NetworkListener(each.port, _group_name(each), sources) for each in ports),
        groups=tuple(
            TargetGroup(
                _group_name(each),
                backend,
                check,
                proxy_protocol=proxy_protocol,
                balance=balance,
                service=key_of(service),
                service_port=each.port,
                port_name=each.name or "",
            )
            for each in ports
        ),
    )


def network_balancer(
    service: Service, part: NetworkPart, slices: Slices, *, current: bool = True
) -> Wanted:
    """Return the load balancer of a service.

    Args:
        service: Whose it is.
        part: What it asks for, or what it last asked for that could be done.
        slices: Where its targets are.
        current: Whether it is what the service asks for now.
    """
    metadata, uid = meta(service), identity(service)
    return Wanted(
        name=balancer_name(metadata.namespace or "", metadata.name or "", unique=uid),
        scheme=part.scheme,
        listeners=part.listeners,
        groups=tuple(with_targets(each, slices) for each in part.groups),
        owners=(service,),
        parts={uid: part} if current else NOTHING,
    )


def node_port_hint(service: Service, slices: Iterable[EndpointSlice]) -> Hint | None:
    """Return a warning for a service of type NodePort that has pods on Fargate nodes."""
    spec = service.spec
    if spec is None or spec.type != "NodePort":
        return None
    on_fargate = any(
        (endpoint.nodeName or "").startswith(keys.NODE_PREFIX)
        for slice_ in slices
        for endpoint in slice_.endpoints or ()
    )
    if not on_fargate:
        return None
    ports = ", ".join(str(each.nodePort) for each in spec.ports or () if each.nodePort)
    return Hint(
        service,
        "NodePortNotServed",
        f"Fargate nodes do not serve node port {ports}: use a Service of type LoadBalancer, or an"
        " Ingress, with IP targets",
    )


def _group_name(port: ServicePort) -> str:
    return str(port.port)


def _scheme(reader: Reader) -> Scheme:
    if reader.text("scheme"):
        return reader.scheme("scheme")
    internal = reader.switch("internal", default=True)
    return Scheme.INTERNAL if internal else Scheme.INTERNET_FACING


def _proxy_protocol(reader: Reader) -> bool:
    wanted = reader.text("proxy-protocol")
    if wanted not in ("", "*"):
        reader.fault("proxy-protocol", f"{wanted!r} is not *")
    attributes = reader.pairs("target-group-attributes")
    name = "target-group-attributes"
    enabled = attributes.get("proxy_protocol_v2.enabled", "false")
    if enabled not in ("true", "false"):
        reader.fault(name, f"proxy_protocol_v2.enabled={enabled} is neither true nor false")
    return wanted == "*" or enabled == "true"


def _backend_protocol(reader: Reader) -> Protocol:
    text = reader.text("backend-protocol", "tcp").lower()
    if text not in ("tcp", "ssl", "tls"):
        reader.fault("backend-protocol", f"{text!r} is neither tcp nor ssl")
    return Protocol.TCP if text == "tcp" else Protocol.TLS


def _check(reader: Reader) -> HealthCheck:
    is_tcp = reader.text("healthcheck-protocol", "tcp").lower() == "tcp"
    default = _TCP_CHECK if is_tcp else HealthCheck(Protocol.HTTP, timeout_s=_HTTP_TIMEOUT_S)
    return reader.health_check(HealthNames(), default)


def _sources(reader: Reader, spec: ServiceSpec) -> tuple[IPv4Network, ...]:
    texts = spec.loadBalancerSourceRanges or []
    found = [network_of(text) for text in texts]
    reader.faults += [
        f"spec.loadBalancerSourceRanges[{number}]: {text!r} is not an IPv4 network"
        for number, (text, network) in enumerate(zip(texts, found, strict=True))
        if network is None
    ]
    networks = tuple(each for each in found if each is not None)
    return () if any(each.prefixlen == 0 for each in networks) else networks
