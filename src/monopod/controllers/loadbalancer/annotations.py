"""Parses annotations and collects all faults instead of stopping at the first.

Names and meanings are the AWS Load Balancer Controller's (source: its guides to Service and Ingress
annotations).
"""

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from enum import Enum
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Final, TypeVar

from lightkube.models.core_v1 import ServiceSpec

from monopod.controllers.loadbalancer.model import HealthCheck, Protocol, Scheme

_E = TypeVar("_E", bound=Enum)

_CODES: Final = re.compile(r"[1-5]\d\d(-[1-5]\d\d)?(,[1-5]\d\d(-[1-5]\d\d)?)*")
PATH: Final = re.compile(r"/[\x21-\x7e]{0,1023}")
"""Printable, and within HAProxy's limit on length."""
TRAFFIC_PORT: Final = "traffic-port"


@dataclass(frozen=True, slots=True)
class HealthNames:
    """The names of the annotations on health checks."""

    protocol: str = "healthcheck-protocol"
    port: str = "healthcheck-port"
    path: str = "healthcheck-path"
    codes: str = "healthcheck-success-codes"
    interval: str = "healthcheck-interval"
    timeout: str = "healthcheck-timeout"
    healthy: str = "healthcheck-healthy-threshold"
    unhealthy: str = "healthcheck-unhealthy-threshold"

    @property
    def all(self) -> frozenset[str]:
        """All names."""
        return frozenset(astuple(self))


@dataclass(slots=True)
class Reader:
    """One object's annotations with a prefix, and their faults."""

    prefix: str
    annotations: Mapping[str, str]
    faults: list[str] = field(default_factory=list[str])

    def fault(self, name: str, why: str) -> None:
        """Record a fault of an annotation."""
        self.faults.append(f"{self.prefix}{name}: {why}")

    def text(self, name: str, default: str = "") -> str:
        """Return a value without surrounding blanks."""
        return self.annotations.get(self.prefix + name, default).strip()

    def require_ip_targets(self, name: str, *also: str) -> None:
        """Record a fault unless the target type is ``ip`` or one of ``also``."""
        kind = self.text(name, "ip").lower()
        if kind == "instance":
            self.fault(
                name,
                "instance targets are not supported on Fargate, which has no node ports: use ip",
            )
        elif kind not in ("", "ip", *also):
            self.fault(name, f"{kind!r} is not ip")

    def choice(self, name: str, kind: type[_E], default: _E) -> _E:
        """Return a case-insensitive value of an enumeration."""
        text = self.text(name)
        if not text:
            return default
        for each in kind:
            if str(each.value).lower() == text.lower():
                return each
        known = ", ".join(str(each.value) for each in kind)
        self.fault(name, f"{text!r} is not one of {known}")
        return default

    def integer(self, name: str, lowest: int, highest: int, default: int) -> int:
        """Return an integer within limits."""
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
            self.fault(name, f"{text!r} is not a number from {lowest} to {highest}")
            return default
        return int(text)

    def switch(self, name: str, default: bool) -> bool:
        """Return a boolean."""
        text = self.text(name).lower()
        if text not in ("", "true", "false"):
            self.fault(name, f"{text!r} is neither true nor false")
        return {"true": True, "false": False}.get(text, default)

    def networks(self, name: str) -> tuple[IPv4Network, ...]:
        """Return comma-separated networks; empty if one of them is the whole address space."""
        found: list[IPv4Network] = []
        for text in filter(None, map(str.strip, self.text(name).split(","))):
            network = network_of(text)
            if network is None:
                self.fault(name, f"{text!r} is not an IPv4 network")
            else:
                found.append(network)
        return () if any(each.prefixlen == 0 for each in found) else tuple(found)

    def pairs(self, name: str) -> dict[str, str]:
        """Return comma-separated ``key=value`` pairs."""
        found: dict[str, str] = {}
        for text in filter(None, map(str.strip, self.text(name).split(","))):
            key, sign, value = text.partition("=")
            if not sign:
                self.fault(name, f"{text!r} is not key=value")
            found[key.strip()] = value.strip()
        return found

    def health_check(
        self, names: HealthNames, default: HealthCheck, ports: Mapping[str, int | None]
    ) -> HealthCheck:
        """Return a health check from annotations, with defaults for the rest.

        Limits are the Elastic Load Balancing API's.

        Args:
            names: The annotations' names.
            default: The values for missing annotations.
            ports: Numbers of the Service's target ports by the names of its ports; None for one
                that itself has a name.
        """
        protocol = self.choice(names.protocol, Protocol, default.protocol)
        if protocol is Protocol.TLS:
            self.fault(names.protocol, "'TLS' is not one of TCP, HTTP, HTTPS")
        codes = self.text(names.codes, default.codes)
        if not _CODES.fullmatch(codes):
            self.fault(names.codes, f"{codes!r} is not a list of status codes")
        path = self.text(names.path, default.path)
        if not PATH.fullmatch(path):
            self.fault(names.path, f"{path!r} is not a path")
        port: int | None = None
        wanted = self.text(names.port) or TRAFFIC_PORT
        if wanted in ports:
            port = ports[wanted]
            if port is None:
                self.fault(names.port, f"the targetPort of port {wanted!r} is not a number")
        elif wanted != TRAFFIC_PORT:
            port = self.integer(names.port, 1, 65535, 1)
        return HealthCheck(
            protocol=protocol,
            port=port,
            path=path,
            codes=codes,
            interval_s=self.integer(names.interval, 5, 300, default.interval_s),
            timeout_s=self.integer(names.timeout, 2, 120, default.timeout_s),
            healthy=self.integer(names.healthy, 2, 10, default.healthy),
            unhealthy=self.integer(names.unhealthy, 2, 10, default.unhealthy),
        )

    def scheme(self, name: str) -> Scheme:
        """Return the scheme; internal by default."""
        return self.choice(name, Scheme, Scheme.INTERNAL)

    def names(self) -> list[str]:
        """Return the names of all annotations with the prefix, without it."""
        found = (key for key in self.annotations if key.startswith(self.prefix))
        return sorted(key.removeprefix(self.prefix) for key in found)


def target_ports(spec: ServiceSpec | None) -> dict[str, int | None]:
    """Return the numbers of a Service's target ports by the names of its ports.

    A target port that itself has a name is None: its number may differ from pod to pod.
    """
    return {
        each.name: target if isinstance(target := each.targetPort or each.port, int) else None
        for each in (spec.ports if spec else None) or ()
        if each.name
    }


def network_of(text: str) -> IPv4Network | None:
    """Parse a network, host bits permitted; None means that it is invalid."""
    try:
        return IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        return None
