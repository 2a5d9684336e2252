"""Derives Network Load Balancers from Services of type LoadBalancer. Pure.

Claims Services of class ``service.k8s.aws/nlb`` and those whose type annotation is ``external`` or
``nlb-ip``. The default target type is IP, the only one supported.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network
from typing import Final

from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.resources.core_v1 import Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api import keys
from monopod.controllers.loadbalancer.annotations import (
    HealthNames,
    Reader,
    network_of,
    target_ports,
)
from monopod.controllers.loadbalancer.attributes import (
    LISTENER,
    NETWORK,
    NETWORK_TARGETS,
    balance,
    open_below,
)
from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    Hint,
    InvalidObject,
    balancer_name,
)
from monopod.controllers.loadbalancer.meanings import refuse_others, served_attributes
from monopod.controllers.loadbalancer.model import (
    HealthCheck,
    NetworkListener,
    Protocol,
    Scheme,
    TargetGroup,
)
from monopod.controllers.loadbalancer.parts import NetworkPart, Slices, with_targets
from monopod.controllers.loadbalancer.service_annotations import SERVICE, WITHOUT_PREFIX
from monopod.kube import annotations_of, key_of, meta, uid_of

CLASS: Final = "service.k8s.aws/nlb"
BARE_PREFIX: Final = "service.beta.kubernetes.io/"
PREFIX: Final = f"{BARE_PREFIX}aws-load-balancer-"
_SOURCE_RANGES: Final = "load-balancer-source-ranges"
_OURS: Final = frozenset({"external", "nlb-ip"})
_TCP_CHECK: Final = HealthCheck(Protocol.TCP, codes="200-399", interval_s=10, timeout_s=10)
_HTTP_TIMEOUT_S: Final = 6
"""Source: the defaults of the AWS Load Balancer Controller, 10 s for TCP and 6 s for HTTP."""
_IDLE_S: Final = 350
"""Source: the default of ``tcp.idle_timeout.seconds``."""
_ATTRIBUTES: Final = "target-group-attributes"


def is_network_balancer(service: Service) -> bool:
    """Whether a service is claimed by this controller."""
    spec = service.spec
    if spec is None or spec.type != "LoadBalancer":
        return False
    if spec.loadBalancerClass:
        return spec.loadBalancerClass == CLASS
    return annotations_of(service).get(f"{PREFIX}type", "") in _OURS


def network_part(service: Service) -> NetworkPart | InvalidObject:
    """Return a service's desired part, or a refusal with all its faults."""
    spec = service.spec or ServiceSpec()
    reader = Reader(PREFIX, annotations_of(service))
    refuse_others(reader, SERVICE, reader.names())
    bare = Reader(BARE_PREFIX, reader.annotations, reader.faults)
    known = (name for name in bare.names() if name.startswith(tuple(WITHOUT_PREFIX)))
    refuse_others(bare, WITHOUT_PREFIX, known)
    served_attributes(reader, "attributes", NETWORK, "a Network Load Balancer")
    reader.require_ip_targets("nlb-target-type", "nlb-ip")
    scheme = _scheme(reader)
    backend = _backend_protocol(reader)
    check = _check(reader, spec)
    sources = _sources(reader, bare, spec)
    ports = spec.ports or []
    _check_ports(reader, ports)
    listeners: list[NetworkListener] = []
    groups: list[TargetGroup] = []
    for each in ports:
        attributes = _target_attributes(reader, each.port)
        idle_s = _idle_s(reader, each.port)
        listeners.append(NetworkListener(each.port, _group_name(each), sources, idle_s))
        groups.append(
            TargetGroup(
                _group_name(each),
                backend,
                check,
                proxy_protocol=_proxy_protocol(reader, attributes, each),
                balance=balance(attributes),
                service=key_of(service),
                service_port=each.port,
                port_name=each.name or "",
                idle_s=idle_s,
                open_below=open_below(attributes),
                by_source=attributes.get("stickiness.enabled") == "true",
            )
        )
    if reader.faults:
        return InvalidObject(service, tuple(dict.fromkeys(reader.faults)))
    return NetworkPart(scheme, tuple(listeners), tuple(groups))


def network_balancer(service: Service, part: NetworkPart, slices: Slices) -> DesiredLoadBalancer:
    """Return the load balancer of a service.

    Args:
        service: The owner.
        part: Its current or its last-known-good part.
        slices: Looks up its EndpointSlices.
    """
    metadata, uid = meta(service), uid_of(service)
    return DesiredLoadBalancer(
        name=balancer_name(metadata.namespace or "", metadata.name or "", unique=uid),
        scheme=part.scheme,
        listeners=part.listeners,
        groups=tuple(with_targets(each, slices) for each in part.groups),
        owners=(service,),
        parts={uid: part},
    )


def node_port_hint(service: Service, slices: Iterable[EndpointSlice]) -> Hint | None:
    """Return a warning for a service of type NodePort with pods on Fargate nodes."""
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


def _check_ports(reader: Reader, ports: Sequence[ServicePort]) -> None:
    """Record faults for ports other than TCP, and for annotations on missing ports."""
    reader.faults += [
        f"spec.ports[{number}].protocol: {each.protocol} cannot be balanced, only TCP can"
        for number, each in enumerate(ports)
        if (each.protocol or "TCP") != "TCP"
    ]
    numbers = {str(each.port) for each in ports}
    for name in reader.names():
        kind, dot, port = name.partition(".")
        if not dot or kind not in (_ATTRIBUTES, "listener-attributes"):
            continue
        if port.removeprefix("TCP-") not in numbers:
            reader.fault(name, "the Service has no such TCP port")


def _target_attributes(reader: Reader, port: int) -> dict[str, str]:
    what = "a target group of a Network Load Balancer"
    found = served_attributes(reader, _ATTRIBUTES, NETWORK_TARGETS, what)
    return found | served_attributes(reader, f"{_ATTRIBUTES}.{port}", NETWORK_TARGETS, what)


def _idle_s(reader: Reader, port: int) -> int:
    name = f"listener-attributes.TCP-{port}"
    found = served_attributes(reader, name, LISTENER, "a TCP listener")
    return int(found.get("tcp.idle_timeout.seconds", _IDLE_S))


def _proxy_protocol(reader: Reader, attributes: Mapping[str, str], port: ServicePort) -> bool:
    wanted = reader.text("proxy-protocol")
    if wanted not in ("", "*"):
        reader.fault("proxy-protocol", f"{wanted!r} is not *")
    if wanted:
        return True
    name = "proxy-protocol-per-target-group"
    if listed := reader.text(name):
        ports = [each.strip() for each in listed.split(",")]
        if not all(each.isascii() and each.isdigit() for each in ports):
            reader.fault(name, f"{listed!r} is not a list of port numbers")
        return str(port.port) in ports
    return attributes.get("proxy_protocol_v2.enabled") == "true"


def _backend_protocol(reader: Reader) -> Protocol:
    text = reader.text("backend-protocol", "tcp").lower()
    if text not in ("tcp", "ssl", "tls"):
        reader.fault("backend-protocol", f"{text!r} is neither tcp nor ssl")
    return Protocol.TCP if text == "tcp" else Protocol.TLS


def _check(reader: Reader, spec: ServiceSpec) -> HealthCheck:
    is_tcp = reader.text("healthcheck-protocol", "tcp").lower() == "tcp"
    default = _TCP_CHECK if is_tcp else HealthCheck(Protocol.HTTP, timeout_s=_HTTP_TIMEOUT_S)
    return reader.health_check(HealthNames(), default, target_ports(spec))


def _sources(reader: Reader, bare: Reader, spec: ServiceSpec) -> tuple[IPv4Network, ...]:
    texts = spec.loadBalancerSourceRanges or []
    if not texts:
        return bare.networks(_SOURCE_RANGES)
    found = [network_of(text) for text in texts]
    reader.faults += [
        f"spec.loadBalancerSourceRanges[{number}]: {text!r} is not an IPv4 network"
        for number, (text, network) in enumerate(zip(texts, found, strict=True))
        if network is None
    ]
    networks = tuple(each for each in found if each is not None)
    return () if any(each.prefixlen == 0 for each in networks) else networks
