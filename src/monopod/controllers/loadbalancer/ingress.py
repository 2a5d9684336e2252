"""Parses one Ingress of class ``alb`` into its part of a load balancer. Pure."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.controllers.loadbalancer.annotations import Reader
from monopod.controllers.loadbalancer.attributes import APPLICATION
from monopod.controllers.loadbalancer.desired import InvalidObject
from monopod.controllers.loadbalancer.ingress_annotations import INGRESS
from monopod.controllers.loadbalancer.ingress_rules import PREFIX, RuleContext, Rules
from monopod.controllers.loadbalancer.meanings import refuse_others, served_attributes
from monopod.controllers.loadbalancer.model import Action, Rule, TargetGroup
from monopod.controllers.loadbalancer.parts import HttpPart
from monopod.controllers.loadbalancer.redundant_rules import leads_to_itself
from monopod.kube import annotations_of, make_key, meta

CONTROLLER: Final = "ingress.k8s.aws/alb"
CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
NO_CERTIFICATE: Final = "HTTPS needs a Secret with a certificate in spec.tls"
_GROUP: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def is_application_balancer(ingress: Ingress, classes: Mapping[str, IngressClass]) -> bool:
    """Whether an Ingress's class is one of ours."""
    name = ingress.spec.ingressClassName if ingress.spec else None
    if not name:
        return annotations_of(ingress).get(CLASS_ANNOTATION) == "alb"
    found = classes.get(name)
    return found is not None and found.spec is not None and found.spec.controller == CONTROLLER


def secret_keys(ingress: Ingress) -> list[str]:
    """Return the keys of the Secrets whose certificates an Ingress names."""
    listed = (ingress.spec.tls if ingress.spec else None) or []
    return [
        make_key(each.secretName, meta(ingress).namespace) for each in listed if each.secretName
    ]


def http_part(ingress: Ingress, around: RuleContext) -> HttpPart | InvalidObject:
    """Return an Ingress's desired part, or a refusal with all its faults."""
    reader = Reader(PREFIX, annotations_of(ingress))
    refuse_others(reader, INGRESS, reader.names())
    _check_class(ingress, around, reader)
    attributes = served_attributes(
        reader, "load-balancer-attributes", APPLICATION, "an Application Load Balancer"
    )
    group = reader.text("group.name")
    if group and not _GROUP.fullmatch(group):
        reader.fault("group.name", f"{group!r} is not a name of a group")
    certificates = _certificates(ingress, around, reader)
    ports = _ports(reader, bool(certificates), alone=not group)
    redirect_to = _redirect_port(reader, ports, alone=not group)
    groups: dict[str, TargetGroup] = {}
    work = Rules(ingress, reader, around, groups)
    work.check_unused()
    default = work.default()
    _check_default(reader, default, ports, redirect_to)
    made = HttpPart(
        group=group,
        order=_order(reader),
        scheme=reader.scheme("scheme") if reader.text("scheme") else None,
        ports=ports,
        certificates=certificates,
        redirect_to=redirect_to,
        sources=reader.networks("inbound-cidrs"),
        rules=tuple(work.rules()),
        default=default,
        groups=groups,
        attributes=attributes,
        lowest_tls=_lowest_tls(reader),
    )
    if reader.faults:
        return InvalidObject(ingress, tuple(dict.fromkeys(reader.faults)))
    return made


def _check_default(
    reader: Reader, default: Action | None, ports: Mapping[int, bool], redirect_to: int | None
) -> None:
    """Record a fault for a default action that redirects to itself, as AWS's API does."""
    if default is None:
        return
    for port, secure in ports.items():
        replaced = redirect_to is not None and not secure
        if not replaced and leads_to_itself(Rule(default), port, secure=secure):
            reader.faults.append(
                f"spec.defaultBackend: its redirect leads to itself on port {port}:"
                " write the redirect as a path of a rule, or the annotation ssl-redirect"
            )


def _order(reader: Reader) -> int:
    text = reader.text("group.order", "0")
    if not re.fullmatch(r"-?\d{1,4}", text) or not -1000 <= int(text) <= 1000:
        reader.fault("group.order", f"{text!r} is not a number from -1000 to 1000")
        return 0
    return int(text)


def _certificates(ingress: Ingress, around: RuleContext, reader: Reader) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, key in enumerate(secret_keys(ingress)):
        file = around.certificate(key)
        if file:
            found[key] = file
        else:
            reader.faults.append(
                f"spec.tls[{number}].secretName: {key} is not a Secret of type kubernetes.io/tls"
                " with a certificate and its key"
            )
    return found


def _ports(reader: Reader, has_certificates: bool, *, alone: bool) -> dict[int, bool]:
    text = reader.text("listen-ports")
    if not text:
        return {443: True} if has_certificates else {80: False}
    try:
        listed = msgspec.json.decode(text, type=list[dict[str, int]])
    except msgspec.DecodeError:
        reader.fault("listen-ports", f'{text!r} is not like [{{"HTTP": 80}}]')
        return {}
    found: dict[int, bool] = {}
    for protocol, port in (pair for each in listed for pair in each.items()):
        if protocol not in ("HTTP", "HTTPS") or not 0 < port < 65536 or port in found:
            reader.fault("listen-ports", f"{protocol} {port} is invalid or repeated")
        found[port] = protocol == "HTTPS"
    if not found:
        reader.fault("listen-ports", "no port is named")
    if alone and any(found.values()) and not has_certificates:
        reader.fault("listen-ports", NO_CERTIFICATE)
    return found


def _redirect_port(reader: Reader, ports: Mapping[int, bool], *, alone: bool) -> int | None:
    if not reader.text("ssl-redirect"):
        return None
    port = reader.integer("ssl-redirect", 1, 65535, 443)
    if alone and not ports.get(port):
        reader.fault("ssl-redirect", no_redirect(port))
    return port


def no_redirect(port: int) -> str:
    """Return the fault of a redirect to a port without an HTTPS listener."""
    return f"listener does not exist for SSL redirect port: {port}"


def _check_class(ingress: Ingress, around: RuleContext, reader: Reader) -> None:
    """Record a fault for a class with parameters, which would override annotations."""
    name = (ingress.spec.ingressClassName if ingress.spec else None) or ""
    found = around.classes.get(name)
    if found is not None and found.spec is not None and found.spec.parameters is not None:
        reader.faults.append(
            f"IngressClass {name}: spec.parameters are not supported: write annotations"
        )


def _lowest_tls(reader: Reader) -> str:
    """Return the lowest TLS version of a security policy; empty means that none is set."""
    policy = reader.text("ssl-policy")
    if not policy:
        return ""
    if not policy.startswith("ELBSecurityPolicy-"):
        reader.fault("ssl-policy", f"{policy!r} is not a security policy of AWS's load balancers")
    return "TLSv1.3" if "TLS13-1-3" in policy else "TLSv1.2"
