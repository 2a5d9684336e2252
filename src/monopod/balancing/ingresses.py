"""Application Load Balancers, from Ingresses of class ``alb``. Pure.

Ingresses of one group share a load balancer; one of them that asks for what it cannot get is left
out, and the others are served. Whoever names no target type gets IP targets.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Final

import msgspec
from lightkube.models import networking_v1 as models
from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.balancing.actions import ActionError, read_action
from monopod.balancing.annotations import PATH, HealthNames, Reader
from monopod.balancing.model import (
    NOT_FOUND,
    Action,
    FixedResponse,
    Forward,
    HealthCheck,
    HttpListener,
    Match,
    Protocol,
    Redirect,
    Rule,
    Scheme,
    Target,
    TargetGroup,
)
from monopod.balancing.services import Slices
from monopod.balancing.targets import targets
from monopod.balancing.wanted import Refusal, Wanted, balancer_name
from monopod.kube import identity, key_of, make_key, meta

CONTROLLER: Final = "ingress.k8s.aws/alb"
CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
PREFIX: Final = "alb.ingress.kubernetes.io/"
_USE_ANNOTATION: Final = "use-annotation"
_ACTIONS: Final = "actions."
_HEALTH: Final = HealthNames(
    codes="success-codes",
    interval="healthcheck-interval-seconds",
    timeout="healthcheck-timeout-seconds",
    healthy="healthy-threshold-count",
    unhealthy="unhealthy-threshold-count",
)
_CHECK: Final = HealthCheck(
    Protocol.HTTP, codes="200", interval_s=15, timeout_s=5, healthy=2, unhealthy=2
)
"""Source: the defaults of the AWS Load Balancer Controller."""
_READ: Final = frozenset(
    {
        "target-type",
        "scheme",
        "listen-ports",
        "group.name",
        "group.order",
        "ssl-redirect",
        "backend-protocol",
        "backend-protocol-version",
        "inbound-cidrs",
        "target-group-attributes",
    }
    | _HEALTH.all
)
PASSED_OVER: Final = frozenset(
    {
        "ip-address-type",
        "load-balancer-attributes",
        "load-balancer-name",
        "manage-backend-security-group-rules",
        "security-groups",
        "ssl-policy",
        "subnets",
        "tags",
        "target-node-labels",
    }
)
"""Annotations that concern AWS's own bookkeeping, or what there is only one of here."""
_GROUP: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
_NO_SERVICE: Final = FixedResponse(503, body="Backend service does not exist")
_NO_ACTION: Final = FixedResponse(503, body="Backend action does not exist")
"""Source: what the AWS Load Balancer Controller answers in their place."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What Ingresses speak of, by lookups."""

    service: Callable[[str], Service | None]
    """A service by its key."""
    slices: Slices
    certificate: Callable[[str], str]
    """The file that holds a Secret's certificate and key, by the Secret's key; empty if there is
    no such Secret, or it is none of a certificate."""


@dataclass(slots=True)
class _Member:
    """One Ingress's part of its load balancer."""

    ingress: Ingress
    order: int = 0
    scheme: Scheme | None = None
    ports: dict[int, bool] = field(default_factory=dict[int, bool])
    """Whether clients speak TLS, by port."""
    certificates: tuple[str, ...] = ()
    redirect_to: int | None = None
    sources: tuple[IPv4Network, ...] = ()
    rules: tuple[Rule, ...] = ()
    default: Action | None = None
    groups: dict[str, TargetGroup] = field(default_factory=dict[str, TargetGroup])


def is_application_balancer(ingress: Ingress, classes: Mapping[str, IngressClass]) -> bool:
    """Whether an Ingress is of a class of ours."""
    name = ingress.spec.ingressClassName if ingress.spec else None
    if not name:
        return (meta(ingress).annotations or {}).get(CLASS_ANNOTATION) == "alb"
    found = classes.get(name)
    return found is not None and found.spec is not None and found.spec.controller == CONTROLLER


def secret_keys(ingress: Ingress) -> list[str]:
    """Return the keys of the Secrets whose certificates an Ingress names."""
    listed = (ingress.spec.tls if ingress.spec else None) or []
    return [
        make_key(each.secretName, meta(ingress).namespace) for each in listed if each.secretName
    ]


def application_balancers(
    ingresses: Iterable[Ingress], around: Surroundings
) -> tuple[list[Wanted], list[Refusal]]:
    """Return the load balancers that these Ingresses ask for, and what is against the others."""
    refusals: list[Refusal] = []
    together: dict[str, list[_Member]] = defaultdict(list)
    for ingress in ingresses:
        made = _member(ingress, around)
        if isinstance(made, Refusal):
            refusals.append(made)
        else:
            group = (meta(ingress).annotations or {}).get(f"{PREFIX}group.name", "").strip()
            together[group or f"/{identity(ingress)}"].append(made)
    wanted: list[Wanted] = []
    for group, members in sorted(together.items()):
        members.sort(key=lambda each: (each.order, key_of(each.ingress)))
        kept, left_out = _agreed(members)
        refusals += left_out
        wanted.append(_balancer(group, kept))
    return wanted, refusals


def _agreed(members: list[_Member]) -> tuple[list[_Member], list[Refusal]]:
    """Return those that can share a load balancer; earlier ones have their way."""
    kept: list[_Member] = []
    refusals: list[Refusal] = []
    scheme: Scheme | None = None
    ports: dict[int, bool] = {}
    for each in members:
        faults: list[str] = []
        if scheme and each.scheme and scheme is not each.scheme:
            faults.append(
                f"{PREFIX}scheme: {each.scheme.value} conflicts with {scheme.value} of its group"
            )
        faults += [
            f"{PREFIX}listen-ports: its group has another protocol on port {port}"
            for port, secure in each.ports.items()
            if ports.get(port, secure) != secure
        ]
        if faults:
            refusals.append(Refusal(each.ingress, tuple(faults)))
            continue
        kept.append(each)
        scheme = scheme or each.scheme
        ports |= each.ports
    return kept, refusals


def _balancer(group: str, members: list[_Member]) -> Wanted:
    first = meta(members[0].ingress)
    alone = group.startswith("/")
    parts = (first.namespace or "", first.name or "") if alone else (group,)
    ports: dict[int, bool] = {}
    groups: dict[str, TargetGroup] = {}
    for each in members:
        ports |= each.ports
        groups |= each.groups
    scheme = next((each.scheme for each in members if each.scheme), Scheme.INTERNAL)
    redirect_to = next((each.redirect_to for each in members if each.redirect_to), None)
    return Wanted(
        name=balancer_name(*parts, unique=group),
        scheme=scheme,
        listeners=tuple(
            _listener(port, secure, [each for each in members if port in each.ports], redirect_to)
            for port, secure in sorted(ports.items())
        ),
        groups=tuple(groups[name] for name in sorted(groups)),
        owners=tuple(each.ingress for each in members),
    )


def _listener(
    port: int, secure: bool, members: list[_Member], redirect_to: int | None
) -> HttpListener:
    sources: tuple[IPv4Network, ...] = ()
    if all(each.sources for each in members):
        sources = tuple(sorted({network for each in members for network in each.sources}))
    if redirect_to and not secure:
        away = Redirect(301, protocol="HTTPS", port=str(redirect_to))
        return HttpListener(port, (), away, sources=sources)
    certificates = (name for each in members for name in each.certificates)
    return HttpListener(
        port,
        tuple(rule for each in members for rule in each.rules),
        next((each.default for each in members if each.default), NOT_FOUND),
        tuple(dict.fromkeys(certificates)) if secure else (),
        sources,
    )


def _member(ingress: Ingress, around: Surroundings) -> _Member | Refusal:
    reader = Reader(PREFIX, meta(ingress).annotations or {})
    actions = [name for name in reader.names() if name.startswith(_ACTIONS)]
    reader.refuse_others(_READ | PASSED_OVER | set(actions))
    if "certificate-arn" in reader.names():
        reader.fault("certificate-arn", "certificates come from the Secrets that spec.tls names")
    name = reader.text("group.name")
    if name and not _GROUP.fullmatch(name):
        reader.fault("group.name", f"{name!r} is not a name of a group")
    made = _Member(ingress, order=_order(reader), sources=reader.networks("inbound-cidrs"))
    if reader.text("scheme"):
        made.scheme = reader.scheme("scheme")
    made.certificates = _certificates(ingress, around, reader)
    made.ports = _ports(reader, bool(made.certificates))
    made.redirect_to = _redirect_port(reader, made.ports)
    work = _Rules(ingress, reader, around, made.groups)
    made.rules = tuple(work.rules())
    made.default = work.default()
    if reader.faults:
        return Refusal(ingress, tuple(dict.fromkeys(reader.faults)))
    return made


def _order(reader: Reader) -> int:
    text = reader.text("group.order", "0")
    if not re.fullmatch(r"-?\d{1,4}", text) or not -1000 <= int(text) <= 1000:
        reader.fault("group.order", f"{text!r} is not a number from -1000 to 1000")
        return 0
    return int(text)


def _certificates(ingress: Ingress, around: Surroundings, reader: Reader) -> tuple[str, ...]:
    found: list[str] = []
    for number, key in enumerate(secret_keys(ingress)):
        file = around.certificate(key)
        if file:
            found.append(file)
        else:
            reader.faults.append(
                f"spec.tls[{number}].secretName: {key} is not a Secret of type kubernetes.io/tls"
                " with a certificate and its key"
            )
    return tuple(found)


def _ports(reader: Reader, has_certificates: bool) -> dict[int, bool]:
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
            reader.fault("listen-ports", f"{protocol} {port} is not possible, or said twice")
        found[port] = protocol == "HTTPS"
    if not found:
        reader.fault("listen-ports", "no port is named")
    if any(found.values()) and not has_certificates:
        reader.fault("listen-ports", "HTTPS needs a Secret with a certificate in spec.tls")
    return found


def _redirect_port(reader: Reader, ports: Mapping[int, bool]) -> int | None:
    if not reader.text("ssl-redirect"):
        return None
    port = reader.integer("ssl-redirect", 1, 65535, 443)
    if not ports.get(port):
        reader.fault("ssl-redirect", f"listener does not exist for SSL redirect port: {port}")
    return port


class _Rules:
    """Reads one Ingress's rules, and gathers the target groups that they speak of."""

    def __init__(
        self,
        ingress: Ingress,
        reader: Reader,
        around: Surroundings,
        groups: dict[str, TargetGroup],
    ) -> None:
        self._spec = ingress.spec or models.IngressSpec()
        self._namespace = meta(ingress).namespace or ""
        self._name = meta(ingress).name or ""
        self._reader = reader
        self._around = around
        self._groups = groups

    def default(self) -> Action | None:
        """Return what is done with requests that no rule of any Ingress is for."""
        backend = self._spec.defaultBackend
        return None if backend is None else self._action(backend, "spec.defaultBackend")

    def rules(self) -> Iterable[Rule]:
        """Yield the rules: exact paths first, then prefixes, the longest first."""
        for number, rule in enumerate(self._spec.rules or ()):
            where = f"spec.rules[{number}]"
            paths = list(enumerate(rule.http.paths if rule.http else ()))
            paths.sort(key=lambda each: _precedence(each[1]))
            for place, path in paths:
                at = f"{where}.http.paths[{place}]"
                text, match = self._path(path, at)
                action = self._action(path.backend, f"{at}.backend")
                yield Rule(action, rule.host or "", text, match)

    def _path(self, path: models.HTTPIngressPath, at: str) -> tuple[str, Match]:
        text = path.path or ""
        if text and not PATH.fullmatch(text):
            self._reader.faults.append(f"{at}.path: {text!r} is not a path")
        kind = path.pathType
        if kind == "ImplementationSpecific":
            return text, Match.WILDCARD
        if set(text) & set("*?"):
            self._reader.faults.append(
                f"{at}.path: {kind.lower()} path shouldn't contain wildcards: {text}"
            )
        return text, Match.EXACT if kind == "Exact" else Match.PREFIX

    def _action(self, backend: models.IngressBackend, at: str) -> Action:
        service = backend.service
        if service is None:
            self._reader.faults.append(f"{at}: only services can be backends")
            return NOT_FOUND
        port = service.port or models.ServiceBackendPort()
        try:
            if port.name != _USE_ANNOTATION:
                return self._plain(service.name, port.name or str(port.number))
            said = self._reader.text(f"{_ACTIONS}{service.name}")
            return read_action(said, self._group) if said else _NO_ACTION
        except ActionError as error:
            if port.name == _USE_ANNOTATION:
                self._reader.fault(f"{_ACTIONS}{service.name}", str(error))
            else:
                self._reader.faults.append(f"{at}: {error}")
            return NOT_FOUND

    def _plain(self, service: str, port: str) -> Action:
        if self._around.service(make_key(service, self._namespace)) is None:
            return _NO_SERVICE
        return Forward(((self._group(service, port), 1),))

    def _group(self, service_name: str, port: str) -> str:
        """Return the name of the target group of a service's port, which is made if need be."""
        key = make_key(service_name, self._namespace)
        service = self._around.service(key)
        if service is None:
            raise ActionError(f"service {key} does not exist")
        found = next(
            (
                each
                for each in (service.spec.ports if service.spec else None) or ()
                if port in (each.name, str(each.port))
            ),
            None,
        )
        if found is None:
            raise ActionError(f"unable to find port {port} on service {key}")
        name = f"{self._namespace}.{self._name}.{service_name}.{found.port}"
        if name not in self._groups:
            own = targets(self._around.slices(key), found.name or "")
            self._groups[name] = self._described(name, service, found.port, own)
        return name

    def _described(
        self, name: str, service: Service, port: int, own: tuple[Target, ...]
    ) -> TargetGroup:
        # What a service says of its own targets counts more, as with AWS's controller.
        said = {**self._reader.annotations, **(meta(service).annotations or {})}
        reader = Reader(PREFIX, said)
        reader.require_ip_targets("target-type")
        version = reader.text("backend-protocol-version", "HTTP1").upper()
        if version != "HTTP1":
            reader.fault("backend-protocol-version", f"{version!r} is not supported, only HTTP1 is")
        protocol = reader.choice("backend-protocol", Protocol, Protocol.HTTP)
        if not protocol.is_http:
            reader.fault("backend-protocol", f"{protocol.value!r} is neither HTTP nor HTTPS")
        balance = reader.balance("target-group-attributes")
        check = reader.health_check(_HEALTH, _CHECK)
        self._reader.faults += reader.faults
        return TargetGroup(
            name,
            protocol,
            check,
            own,
            balance=balance,
            service=key_of(service),
            service_port=port,
        )


def _precedence(path: models.HTTPIngressPath) -> tuple[int, int]:
    """Order paths as AWS's controller does; those it leaves in order stay in order."""
    if path.pathType == "Exact":
        return 0, 0
    if path.pathType == "Prefix":
        return 1, -len(path.path or "")
    return 2, 0
