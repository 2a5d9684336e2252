"""Load balancers as plain data, independent of Kubernetes and HAProxy."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import msgspec


class Scheme(enum.Enum):
    """From which networks a load balancer is reachable."""

    INTERNAL = "internal"
    INTERNET_FACING = "internet-facing"


class Protocol(enum.Enum):
    """The protocol to targets, or of health checks."""

    TCP = "TCP"
    TLS = "TLS"
    HTTP = "HTTP"
    HTTPS = "HTTPS"

    @property
    def is_http(self) -> bool:
        """Whether it carries requests instead of plain connections."""
        return self in (Protocol.HTTP, Protocol.HTTPS)

    @property
    def is_secure(self) -> bool:
        """Whether it uses TLS."""
        return self in (Protocol.TLS, Protocol.HTTPS)


class Balance(enum.Enum):
    """The load-balancing algorithm."""

    ROUND_ROBIN = "round_robin"
    LEAST_OUTSTANDING = "least_outstanding_requests"


class Match(enum.Enum):
    """How a path is matched."""

    EXACT = "exact"
    PREFIX = "prefix"
    """Element by element: ``/a`` is a prefix of ``/a`` and ``/a/b``, not of ``/ab``."""
    WILDCARD = "wildcard"
    """``*`` matches any run of characters, ``?`` any one."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One address that receives traffic."""

    address: IPv4Address
    port: int
    draining: bool = False
    """Whether it gets no new connections."""

    @property
    def name(self) -> str:
        """Its unique name in its group."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """The health check of a target group."""

    protocol: Protocol
    port: int | None = None
    """The port that is checked; None means the traffic port."""
    path: str = "/"
    codes: str = "200-399"
    """Successful status codes: comma-separated numbers and ranges."""
    interval_s: int = 10
    timeout_s: int = 10
    healthy: int = 3
    """Successes in a row that make a target healthy again."""
    unhealthy: int = 3
    """Failures in a row that make it unhealthy."""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """A set of targets with the same health check and options."""

    name: str
    """Unique in its load balancer."""
    protocol: Protocol
    check: HealthCheck
    targets: tuple[Target, ...] = ()
    proxy_protocol: bool = False
    """Whether each connection to a target begins with a PROXY protocol v2 header."""
    balance: Balance = Balance.ROUND_ROBIN
    service: str = ""
    """Key of the service of the targets."""
    service_port: int = 0
    """The service port's number."""
    port_name: str = ""
    """The service port's name; empty means that it has none."""
    idle_s: int = 350
    """Idle timeout in seconds, after which a connection is closed or a request gets a 504."""
    open_below: int = 1
    """Fail open: with fewer healthy targets than this, all targets get traffic."""
    slow_start_s: int = 0
    """Seconds over which the share of a newly healthy target rises to its full share."""
    cookie_s: int = 0
    """Lifetime of the stickiness cookie in seconds; 0 means no stickiness."""
    by_source: bool = False
    """Whether a hash of the client's address chooses the target."""


@dataclass(frozen=True, slots=True)
class NetworkListener:
    """A port that forwards connections to a target group."""

    port: int
    group: str
    sources: tuple[IPv4Network, ...] = ()
    """Networks that may connect; empty means all."""
    idle_s: int = 350
    """Idle timeout in seconds, after which a connection is closed."""


class Forward(msgspec.Struct, frozen=True, tag=True):
    """Forward a request to one of these groups, chosen by weight."""

    groups: tuple[tuple[str, int], ...]


class Redirect(msgspec.Struct, frozen=True, tag=True):
    """Redirect a client; ``#{…}`` are AWS's placeholders for parts of its request."""

    code: int = 302
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


class FixedResponse(msgspec.Struct, frozen=True, tag=True):
    """Return a fixed response."""

    code: int
    content_type: str = "text/plain"
    body: str = ""


Action = Forward | Redirect | FixedResponse
NOT_FOUND = FixedResponse(404)
"""The action of an Application Load Balancer on a request that no rule matches."""


class MethodCondition(msgspec.Struct, frozen=True, tag=True):
    """The request's method is one of these; case-sensitive."""

    values: tuple[str, ...]


class HeaderCondition(msgspec.Struct, frozen=True, tag=True):
    """A header's value matches one of these patterns; case-insensitive."""

    name: str
    values: tuple[str, ...]


class QueryCondition(msgspec.Struct, frozen=True, tag=True):
    r"""A parameter of the query string matches one of these; case-insensitive.

    Each is a pattern for the key, where None means any key, and one for the value; ``\*`` and
    ``\?`` match these characters literally.
    """

    values: tuple[tuple[str | None, str], ...]


class SourceCondition(msgspec.Struct, frozen=True, tag=True):
    """The client's address is in one of these networks."""

    values: tuple[IPv4Network, ...]


Condition = MethodCondition | HeaderCondition | QueryCondition | SourceCondition


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions on requests and the action on those that match."""

    action: Action
    host: str = ""
    """Host to match, with the wildcards ``*`` and ``?``; empty means any."""
    path: str = ""
    """Path to match; empty means any."""
    match: Match = Match.PREFIX
    or_hosts: tuple[str, ...] = ()
    """Alternative hosts."""
    or_paths: tuple[str, ...] = ()
    """Alternative path patterns."""
    conditions: tuple[Condition, ...] = ()
    """Further conditions, all of which have to hold."""


class ForwardedFor(enum.Enum):
    """The handling of the header ``X-Forwarded-For``."""

    APPEND = "append"
    PRESERVE = "preserve"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Options of an Application Load Balancer for all requests."""

    idle_s: int = 60
    """Idle timeout in seconds, after which a connection is closed."""
    http2: bool = True
    """Whether clients may use HTTP/2 over TLS."""
    forwarded_for: ForwardedFor = ForwardedFor.APPEND
    client_port: bool = False
    """Whether ``X-Forwarded-For`` includes the client's port."""
    drop_invalid_headers: bool = False
    """Whether to remove headers whose names contain anything but letters, digits and dashes."""
    lowest_tls: str = "TLSv1.2"


@dataclass(frozen=True, slots=True)
class HttpListener:
    """A port that routes each request by the first rule that matches."""

    port: int
    rules: tuple[Rule, ...]
    default: Action = NOT_FOUND
    certificates: tuple[str, ...] = ()
    """File names; if any, the listener uses TLS. The first is the default without SNI."""
    sources: tuple[IPv4Network, ...] = ()
    """Networks that may connect; empty means all."""
    options: HttpOptions = HttpOptions()


@dataclass(frozen=True, slots=True)
class Balancer:
    """One load balancer."""

    name: str
    """Unique; lower-case letters, digits and dashes."""
    address: IPv4Address
    listeners: tuple[NetworkListener | HttpListener, ...]
    groups: tuple[TargetGroup, ...]


def groups_of(action: Action) -> Iterator[str]:
    """Yield the names of the groups that an action forwards to."""
    if isinstance(action, Forward):
        for name, _ in action.groups:
            yield name
