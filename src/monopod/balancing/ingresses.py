"""Application Load Balancers, from Ingresses of class ``alb``. Pure.

Ingresses of one group share a load balancer; one of them that asks for what it cannot get has what
it last asked for that could be done, or is left out, and the others are served. Whoever names no
target type gets IP targets.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Final

import msgspec
from lightkube.models import networking_v1 as models
from lightkube.models.core_v1 import ServicePort
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
    TargetGroup,
)
from monopod.balancing.parts import HttpPart, Slices, with_targets
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
READ: Final = frozenset(
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


@dataclass(frozen=True, slots=True)
class _Member:
    """One Ingress in its load balancer."""

    ingress: Ingress
    part: HttpPart
    current: bool
    """Whether it is what the Ingress asks for now, and not what it asked for before."""
    standing: bool
    """Whether what others have to agree with is as it was."""

    @property
    def uid(self) -> str:
        """Of the Ingress."""
        return identity(self.ingress)


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


Kept = Callable[[str], HttpPart | None]
"""Looks up what an Ingress last asked for that could be done, by its uid."""


def application_balancers(
    ingresses: Iterable[Ingress],
    around: Surroundings,
    kept: Kept,
    rejected: Mapping[str, Refusal],
) -> tuple[list[Wanted], list[Refusal]]:
    """Return the load balancers that Ingresses have, and what is against those that ask for others.

    Args:
        ingresses: All that there are.
        around: What they speak of.
        kept: What they get while they ask for what cannot be done.
        rejected: What is against what some ask for, by their uids, though it looks good from here.
    """
    refusals: dict[str, Refusal] = {}
    members: dict[str, _Member] = {}

    def step_back(ingress: Ingress) -> None:
        uid = identity(ingress)
        if (part := kept(uid)) is not None:
            members[uid] = _Member(ingress, _fresh(part, around), current=False, standing=True)

    for ingress in ingresses:
        uid = identity(ingress)
        part = rejected.get(uid) or http_part(ingress, around)
        if isinstance(part, Refusal):
            refusals[uid] = part
            step_back(ingress)
        else:
            standing = _binding(part) == _binding(kept(uid))
            members[uid] = _Member(ingress, part, current=True, standing=standing)
    while left_out := [each for some in _together(members) for each in _disagreeing(some)]:
        for member, refusal in left_out:
            refusals.setdefault(member.uid, refusal)
            del members[member.uid]
            if member.current:
                step_back(member.ingress)
    wanted = [_balancer(some, around) for some in _together(members)]
    return wanted, list(refusals.values())


def _fresh(part: HttpPart, around: Surroundings) -> HttpPart:
    """Return what was kept with its certificates of today, where there are any."""
    certificates = {key: around.certificate(key) or file for key, file in part.certificates.items()}
    return replace(part, certificates=certificates)


def _binding(part: HttpPart | None) -> object:
    """Return what others of a group have to agree with."""
    return None if part is None else (part.group, part.scheme, part.ports)


def _together(members: Mapping[str, _Member]) -> list[list[_Member]]:
    """Return who shares a load balancer, in the order of their rules."""
    found: dict[str, list[_Member]] = defaultdict(list)
    for each in members.values():
        found[each.part.group or f"/{each.uid}"].append(each)
    return [
        sorted(some, key=lambda each: (each.part.order, key_of(each.ingress)))
        for _, some in sorted(found.items())
    ]


def _disagreeing(members: Sequence[_Member]) -> list[tuple[_Member, Refusal]]:
    """Return those that cannot share with the others.

    What stood before has its way, then what comes earlier: an edit does not drive others out.
    """
    left_out: list[tuple[_Member, Refusal]] = []
    scheme: Scheme | None = None
    ports: dict[int, bool] = {}
    for each in sorted(members, key=lambda each: not each.standing):
        part = each.part
        faults: list[str] = []
        if scheme and part.scheme and scheme is not part.scheme:
            faults.append(
                f"{PREFIX}scheme: {part.scheme.value} conflicts with {scheme.value} of its group"
            )
        faults += [
            f"{PREFIX}listen-ports: its group has another protocol on port {port}"
            for port, secure in part.ports.items()
            if ports.get(port, secure) != secure
        ]
        if faults:
            left_out.append((each, Refusal(each.ingress, tuple(faults))))
            continue
        scheme = scheme or part.scheme
        ports |= part.ports
    return left_out


def _balancer(members: Sequence[_Member], around: Surroundings) -> Wanted:
    first = meta(members[0].ingress)
    shared = members[0].part.group
    name = (
        balancer_name(shared, unique=shared)
        if shared
        else balancer_name(first.namespace or "", first.name or "", unique=f"/{members[0].uid}")
    )
    parts = [each.part for each in members]
    ports: dict[int, bool] = {}
    groups: dict[str, TargetGroup] = {}
    for each in parts:
        ports |= each.ports
        groups |= each.groups
    scheme = next((each.scheme for each in parts if each.scheme), Scheme.INTERNAL)
    redirect_to = next((each.redirect_to for each in parts if each.redirect_to), None)
    return Wanted(
        name=name,
        scheme=scheme,
        listeners=tuple(
            _listener(port, secure, [each for each in parts if port in each.ports], redirect_to)
            for port, secure in sorted(ports.items())
        ),
        groups=tuple(with_targets(groups[name], around.slices) for name in sorted(groups)),
        owners=tuple(each.ingress for each in members),
        parts={each.uid: each.part for each in members if each.current},
    )


def _listener(
    port: int, secure: bool, parts: Sequence[HttpPart], redirect_to: int | None
) -> HttpListener:
    sources: tuple[IPv4Network, ...] = ()
    if all(each.sources for each in parts):
        sources = tuple(sorted({network for each in parts for network in each.sources}))
    if redirect_to and not secure:
        away = Redirect(301, protocol="HTTPS", port=str(redirect_to))
        return HttpListener(port, (), away, sources=sources)
    certificates = (name for each in parts for name in each.certificates.values())
    return HttpListener(
        port,
        tuple(rule for each in parts for rule in each.rules),
        next((each.default for each in parts if each.default), NOT_FOUND),
        tuple(dict.fromkeys(certificates)) if secure else (),
        sources,
    )


def http_part(ingress: Ingress, around: Surroundings) -> HttpPart | Refusal:
    """Return what an Ingress asks for, or everything that is against it."""
    reader = Reader(PREFIX, meta(ingress).annotations or {})
    actions = [name for name in reader.names() if name.startswith(_ACTIONS)]
    reader.refuse_others(READ | PASSED_OVER | set(actions))
    if "certificate-arn" in reader.names():
        reader.fault("certificate-arn", "certificates come from the Secrets that spec.tls names")
    group = reader.text("group.name")
    if group and not _GROUP.fullmatch(group):
        reader.fault("group.name", f"{group!r} is not a name of a group")
    certificates = _certificates(ingress, around, reader)
    ports = _ports(reader, bool(certificates))
    groups: dict[str, TargetGroup] = {}
    work = _Rules(ingress, reader, around, groups)
    made = HttpPart(
        group=group,
        order=_order(reader),
        scheme=reader.scheme("scheme") if reader.text("scheme") else None,
        ports=ports,
        certificates=certificates,
        redirect_to=_redirect_port(reader, ports),
        sources=reader.networks("inbound-cidrs"),
        rules=tuple(work.rules()),
        default=work.default(),
        groups=groups,
    )
    if reader.faults:
        return Refusal(ingress, tuple(dict.fromkeys(reader.faults)))
    return made


def _order(reader: Reader) -> int:
    text = reader.text("group.order", "0")
    if not re.fullmatch(r"-?\d{1,4}", text) or not -1000 <= int(text) <= 1000:
        reader.fault("group.order", f"{text!r} is not a number from -1000 to 1000")
        return 0
    return int(text)


def _certificates(ingress: Ingress, around: Surroundings, reader: Reader) -> dict[str, str]:
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
            self._groups[name] = self._described(name, service, found)
        return name

    def _described(self, name: str, service: Service, port: ServicePort) -> TargetGroup:
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
            balance=balance,
            service=key_of(service),
            service_port=port.port,
            port_name=port.name or "",
        )


def _precedence(path: models.HTTPIngressPath) -> tuple[int, int]:
    """Order paths as AWS's controller does; those it leaves in order stay in order."""
    if path.pathType == "Exact":
        return 0, 0
    if path.pathType == "Prefix":
        return 1, -len(path.path or "")
    return 2, 0
