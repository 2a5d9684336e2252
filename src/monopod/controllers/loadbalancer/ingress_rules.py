"""Parses the rules of one Ingress and the target groups that they reference. Pure."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lightkube.models import networking_v1 as models
from lightkube.models.core_v1 import ServicePort
from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.controllers.loadbalancer import attributes
from monopod.controllers.loadbalancer.action_annotations import ActionError, read_action
from monopod.controllers.loadbalancer.annotations import PATH, HealthNames, Reader, target_ports
from monopod.controllers.loadbalancer.attributes import APPLICATION_TARGETS
from monopod.controllers.loadbalancer.condition_annotations import (
    Conditions,
    read_conditions,
    with_conditions,
)
from monopod.controllers.loadbalancer.errors import ConditionError
from monopod.controllers.loadbalancer.ingress_annotations import INGRESS, SERVICE
from monopod.controllers.loadbalancer.meanings import refuse_others, served_attributes
from monopod.controllers.loadbalancer.model import (
    NOT_FOUND,
    Action,
    Balance,
    FixedResponse,
    Forward,
    HealthCheck,
    Match,
    Protocol,
    Rule,
    TargetGroup,
)
from monopod.controllers.loadbalancer.parts import Slices
from monopod.kube import annotations_of, key_of, make_key, name_of, namespace_of

PREFIX: Final = "alb.ingress.kubernetes.io/"
ACTIONS: Final = "actions."
CONDITIONS: Final = "conditions."
ATTRIBUTES: Final = "target-group-attributes"
_HOST: Final = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_USE_ANNOTATION: Final = "use-annotation"
HEALTH: Final = HealthNames(
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
_NO_SERVICE: Final = FixedResponse(503, body="Backend service does not exist")
_NO_ACTION: Final = FixedResponse(503, body="Backend action does not exist")
"""Source: the AWS Load Balancer Controller's responses for missing backends."""


@dataclass(frozen=True, slots=True)
class RuleContext:
    """Lookups of the objects that Ingresses reference."""

    service: Callable[[str], Service | None]
    """A service by its key."""
    slices: Slices
    certificate: Callable[[str], str]
    """The file of a Secret's certificate and key, by the Secret's key; empty if the Secret is
    missing or holds no certificate."""
    classes: Mapping[str, IngressClass] = field(default_factory=dict[str, IngressClass])
    """By name."""


class Rules:
    """Parses one Ingress's rules, and collects the target groups that they reference."""

    def __init__(
        self,
        ingress: Ingress,
        reader: Reader,
        around: RuleContext,
        groups: dict[str, TargetGroup],
    ) -> None:
        self._spec = ingress.spec or models.IngressSpec()
        self._namespace = namespace_of(ingress)
        self._name = name_of(ingress)
        self._reader = reader
        self._around = around
        self._groups = groups
        self._conditions = dict(self._read_conditions())

    def default(self) -> Action | None:
        """Return the action on requests that no rule of any Ingress matches."""
        backend = self._spec.defaultBackend
        return None if backend is None else self._action(backend, "spec.defaultBackend")

    def rules(self) -> Iterable[Rule]:
        """Yield the rules: exact paths first, then prefixes, the longest first."""
        for number, rule in enumerate(self._spec.rules or ()):
            where = f"spec.rules[{number}]"
            host = rule.host or ""
            if host and not _HOST.fullmatch(host):
                self._reader.faults.append(f"{where}.host: {host!r} is not a host name")
                host = ""
            paths = list(enumerate(rule.http.paths if rule.http else ()))
            paths.sort(key=lambda each: _precedence(each[1]))
            for place, path in paths:
                at = f"{where}.http.paths[{place}]"
                text, match = self._path(path, at)
                action = self._action(path.backend, f"{at}.backend")
                yield self._conditional(Rule(action, host, text, match), path.backend)

    def check_unused(self) -> None:
        """Record faults for unused annotations that cannot be intended.

        Unused conditions leave open what they should restrict. An unused action is harmless if it
        is valid; otherwise it may be another annotation that is misspelt.
        """
        rules = [rule.http for rule in self._spec.rules or () if rule.http]
        backends = [path.backend for http in rules for path in http.paths]
        if self._spec.defaultBackend:
            backends.append(self._spec.defaultBackend)
        names = {each.service.name for each in backends if each.service}
        for name in sorted(self._conditions.keys() - names):
            self._reader.fault(f"{CONDITIONS}{name}", "no path has a backend of this name")
        for each in self._reader.names():
            if each.startswith(ACTIONS) and each.removeprefix(ACTIONS) not in names:
                try:
                    read_action(self._reader.text(each), lambda name, port: f"{name}:{port}")
                except ActionError as error:
                    self._reader.fault(each, str(error))

    def _read_conditions(self) -> Iterable[tuple[str, Conditions]]:
        for each in self._reader.names():
            if each.startswith(CONDITIONS):
                try:
                    yield each.removeprefix(CONDITIONS), read_conditions(self._reader.text(each))
                except ConditionError as error:
                    self._reader.fault(each, str(error))

    def _conditional(self, rule: Rule, backend: models.IngressBackend) -> Rule:
        name = backend.service.name if backend.service else ""
        if name not in self._conditions:
            return rule
        try:
            return with_conditions(rule, self._conditions[name])
        except ConditionError as error:
            self._reader.fault(f"{CONDITIONS}{name}", str(error))
            return rule

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
            said = self._reader.text(f"{ACTIONS}{service.name}")
            return read_action(said, self._group) if said else _NO_ACTION
        except ActionError as error:
            if port.name == _USE_ANNOTATION:
                self._reader.fault(f"{ACTIONS}{service.name}", str(error))
            else:
                self._reader.faults.append(f"{at}: {error}")
            return NOT_FOUND

    def _plain(self, service: str, port: str) -> Action:
        if self._around.service(make_key(service, self._namespace)) is None:
            return _NO_SERVICE
        return Forward(((self._group(service, port), 1),))

    def _group(self, service_name: str, port: str) -> str:
        """Return the name of the target group of a service's port; create it unless it exists."""
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
        # A service's own annotations override the Ingress's, as in AWS's controller.
        own = annotations_of(service)
        self._check_service(key_of(service), own)
        reader = Reader(PREFIX, {**self._reader.annotations, **own})
        reader.require_ip_targets("target-type")
        version = reader.text("backend-protocol-version", "HTTP1").upper()
        if version != "HTTP1":
            reader.fault("backend-protocol-version", f"{version!r} is not supported, only HTTP1 is")
        protocol = reader.choice("backend-protocol", Protocol, Protocol.HTTP)
        if not protocol.is_http:
            reader.fault("backend-protocol", f"{protocol.value!r} is neither HTTP nor HTTPS")
        said = served_attributes(reader, ATTRIBUTES, APPLICATION_TARGETS, "a target group")
        balance = attributes.balance(said)
        slow_start_s = int(said.get("slow_start.duration_seconds", 0))
        if slow_start_s and balance is Balance.LEAST_OUTSTANDING:
            reader.fault(ATTRIBUTES, "slow start is not possible with least_outstanding_requests")
        check = reader.health_check(HEALTH, _CHECK, target_ports(service.spec))
        if check.timeout_s >= check.interval_s:
            reader.fault(HEALTH.timeout, f"{check.timeout_s} s is not less than the interval")
        self._reader.faults += reader.faults
        return TargetGroup(
            name,
            protocol,
            check,
            balance=balance,
            service=key_of(service),
            service_port=port.port,
            port_name=port.name or "",
            open_below=attributes.open_below(said),
            slow_start_s=slow_start_s,
            cookie_s=attributes.cookie_s(said),
        )

    def _check_service(self, key: str, annotations: Mapping[str, str]) -> None:
        reader = Reader(PREFIX, annotations)
        counted = (name for name in reader.names() if name in SERVICE or name not in INGRESS)
        refuse_others(reader, INGRESS, counted)
        self._reader.faults += [f"service {key}: {fault}" for fault in reader.faults]


def _precedence(path: models.HTTPIngressPath) -> tuple[int, int]:
    """Return a sort key that orders paths as AWS's controller does; the sort is stable."""
    if path.pathType == "Exact":
        return 0, 0
    if path.pathType == "Prefix":
        return 1, -len(path.path or "")
    return 2, 0
