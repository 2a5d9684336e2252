"""Derives Application Load Balancers from Ingresses of class ``alb``. Pure.

Ingresses of one group share a load balancer; an invalid member keeps its last-known-good part, or
is left out if it has none, and the others are served. The default target type is IP.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from lightkube.resources.networking_v1 import Ingress

from monopod.controllers.loadbalancer.attributes import http_options
from monopod.controllers.loadbalancer.desired import (
    DesiredLoadBalancer,
    InvalidObject,
    balancer_name,
)
from monopod.controllers.loadbalancer.ingress import NO_CERTIFICATE, http_part, no_redirect
from monopod.controllers.loadbalancer.ingress_rules import PREFIX, RuleContext
from monopod.controllers.loadbalancer.model import (
    NOT_FOUND,
    HttpListener,
    Redirect,
    Scheme,
    TargetGroup,
)
from monopod.controllers.loadbalancer.parts import HttpPart, with_targets
from monopod.controllers.loadbalancer.redundant_rules import effective
from monopod.kube import key_of, meta, uid_of

Kept = Callable[[str], HttpPart | None]
"""Looks up an Ingress's last-known-good part by its uid."""


@dataclass(frozen=True, slots=True)
class _Member:
    """One Ingress in its load balancer."""

    ingress: Ingress
    part: HttpPart
    current: bool
    """Whether it is the Ingress's current part and not its last-known-good one."""
    standing: bool
    """Whether its settings that the group shares are unchanged."""

    @property
    def uid(self) -> str:
        """The Ingress's uid."""
        return uid_of(self.ingress)


def application_balancers(
    ingresses: Iterable[Ingress],
    around: RuleContext,
    kept: Kept,
    rejected: Mapping[str, InvalidObject],
) -> tuple[list[DesiredLoadBalancer], list[InvalidObject]]:
    """Return the desired load balancers of Ingresses, and the refusals of invalid Ingresses.

    Args:
        ingresses: All Ingresses of our classes.
        around: Lookups of the objects that they reference.
        kept: Their last-known-good parts, used while they are invalid.
        rejected: Refusals found later, by uid: of Ingresses without faults of their own.
    """
    refusals: dict[str, InvalidObject] = {}
    members: dict[str, _Member] = {}

    def step_back(ingress: Ingress) -> None:
        uid = uid_of(ingress)
        if (part := kept(uid)) is not None:
            members[uid] = _Member(ingress, _fresh(part, around), current=False, standing=True)

    for ingress in ingresses:
        uid = uid_of(ingress)
        part = rejected.get(uid) or http_part(ingress, around)
        if isinstance(part, InvalidObject):
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


def _fresh(part: HttpPart, around: RuleContext) -> HttpPart:
    """Return a last-known-good part with current certificates, where they exist."""
    certificates = {key: around.certificate(key) or file for key, file in part.certificates.items()}
    return replace(part, certificates=certificates)


def _binding(part: HttpPart | None) -> object:
    """Return the settings on which members of a group have to agree."""
    if part is None:
        return None
    return part.group, part.scheme, part.ports, part.attributes, part.lowest_tls, part.redirect_to


def _together(members: Mapping[str, _Member]) -> list[list[_Member]]:
    """Return members grouped by load balancer, in the order of their rules."""
    found: dict[str, list[_Member]] = defaultdict(list)
    for each in members.values():
        found[each.part.group or f"/{each.uid}"].append(each)
    return [
        sorted(some, key=lambda each: (each.part.order, key_of(each.ingress)))
        for _, some in sorted(found.items())
    ]


def _disagreeing(members: Sequence[_Member]) -> list[tuple[_Member, InvalidObject]]:
    """Return the members that conflict with the others.

    Unchanged members take precedence, then earlier ones: an edit does not evict other members.
    """
    left_out: list[tuple[_Member, InvalidObject]] = []
    agreed = _Agreed()
    for each in sorted(members, key=lambda each: not each.standing):
        if faults := agreed.conflicts(each.part):
            left_out.append((each, InvalidObject(each.ingress, tuple(faults))))
        else:
            agreed.join(each.part)
    if left_out:
        return left_out
    return [
        (each, InvalidObject(each.ingress, faults))
        for each in members
        if (faults := tuple(agreed.lacking(each.part)))
    ]


@dataclass(slots=True)
class _Agreed:
    """The settings that Ingresses of one load balancer agree on."""

    settings: dict[str, str] = field(default_factory=dict[str, str])
    """By annotation, or by annotation and attribute."""
    ports: dict[int, bool] = field(default_factory=dict[int, bool])
    certified: set[int] = field(default_factory=set[int])
    """Ports of Ingresses with a certificate."""

    def conflicts(self, part: HttpPart) -> list[str]:
        """Return the faults of a part that conflicts."""
        settings = [
            f"{PREFIX}{name}: {value} conflicts with {self.settings[name]} of its group"
            for name, value in _settings(part).items()
            if self.settings.get(name, value) != value
        ]
        ports = [
            f"{PREFIX}listen-ports: its group has another protocol on port {port}"
            for port, secure in part.ports.items()
            if self.ports.get(port, secure) != secure
        ]
        return settings + ports

    def join(self, part: HttpPart) -> None:
        """Add a part's settings."""
        self.settings |= _settings(part)
        self.ports |= part.ports
        if part.certificates:
            self.certified |= part.ports.keys()

    def lacking(self, part: HttpPart) -> Iterator[str]:
        """Yield faults for what a part requires and no part provides."""
        port = part.redirect_to
        if port is not None and not self.ports.get(port):
            yield f"{PREFIX}ssl-redirect: {no_redirect(port)}"
        if any(secure and port not in self.certified for port, secure in part.ports.items()):
            yield f"{PREFIX}listen-ports: {NO_CERTIFICATE}, of one Ingress of the group"


def _settings(part: HttpPart) -> dict[str, str]:
    """Return a part's settings of which its group can have only one value."""
    found = {f"load-balancer-attributes: {name}": value for name, value in part.attributes.items()}
    if part.scheme:
        found["scheme"] = part.scheme.value
    if part.redirect_to is not None:
        found["ssl-redirect"] = str(part.redirect_to)
    if part.lowest_tls:
        found["ssl-policy"] = part.lowest_tls
    return found


def _balancer(members: Sequence[_Member], around: RuleContext) -> DesiredLoadBalancer:
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
    attributes: dict[str, str] = {}
    for each in parts:
        attributes |= each.attributes
    lowest_tls = next((each.lowest_tls for each in parts if each.lowest_tls), "TLSv1.2")
    options = http_options(attributes, lowest_tls)
    scheme = next((each.scheme for each in parts if each.scheme), Scheme.INTERNAL)
    redirect_to = next((each.redirect_to for each in parts if each.redirect_to), None)
    return DesiredLoadBalancer(
        name=name,
        scheme=scheme,
        listeners=tuple(
            replace(
                _listener(
                    port, secure, [each for each in parts if port in each.ports], redirect_to
                ),
                options=options,
            )
            for port, secure in sorted(ports.items())
        ),
        groups=tuple(
            with_targets(replace(groups[name], idle_s=options.idle_s), around.slices)
            for name in sorted(groups)
        ),
        owners=tuple(each.ingress for each in members),
        parts={each.uid: each.part for each in members},
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
        effective((rule for each in parts for rule in each.rules), port, secure=secure),
        next((each.default for each in parts if each.default), NOT_FOUND),
        tuple(dict.fromkeys(certificates)) if secure else (),
        sources,
    )
