"""Load balancers as plain data, free of both Kubernetes' and HAProxy's words."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import msgspec


class Scheme(enum.Enum):
    """From where a load balancer can be reached."""

    INTERNAL = "internal"
    INTERNET_FACING = "internet-facing"


class Protocol(enum.Enum):
    """How targets are spoken to, or asked whether they work."""

    TCP = "TCP"
    TLS = "TLS"
    HTTP = "HTTP"
    HTTPS = "HTTPS"

    @property
    def is_http(self) -> bool:
        """Whether it is about requests, not connections."""
        return self in (Protocol.HTTP, Protocol.HTTPS)

    @property
    def is_secure(self) -> bool:
        """Whether it is spoken over TLS."""
        return self in (Protocol.TLS, Protocol.HTTPS)


class Balance(enum.Enum):
    """How a target is chosen."""

    ROUND_ROBIN = "round_robin"
    LEAST_OUTSTANDING = "least_outstanding_requests"


class Match(enum.Enum):
    """How a path is compared."""

    EXACT = "exact"
    PREFIX = "prefix"
    """Element by element: ``/a`` is a prefix of ``/a`` and ``/a/b``, not of ``/ab``."""
    WILDCARD = "wildcard"
    """``*`` is any run of characters, ``?`` any one."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One address that takes traffic."""

    address: IPv4Address
    port: int
    draining: bool = False
    """Whether it gets no new connections."""

    @property
    def name(self) -> str:
        """What tells it from others of its group."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """How targets are asked whether they work."""

    protocol: Protocol
    port: int | None = None
    """The port that is asked; the one that takes traffic unless given."""
    path: str = "/"
    codes: str = "200-399"
    """Answers that mean yes: numbers and ranges, joined by commas."""
    interval_s: int = 10
    timeout_s: int = 10
    healthy: int = 3
    """Successes in a row that make a target healthy again."""
    unhealthy: int = 3
    """Failures in a row that make it unhealthy."""


@dataclass(frozen=True, slots=True)
class TargetGroup:
    """Addresses that do the same work."""

    name: str
    """Unique in its load balancer."""
    protocol: Protocol
    check: HealthCheck
    targets: tuple[Target, ...] = ()
    proxy_protocol: bool = False
    """Whether each connection to a target begins with a header of PROXY protocol, version 2."""
    balance: Balance = Balance.ROUND_ROBIN
    service: str = ""
    """Key of the service whose pods these are."""
    service_port: int = 0
    """Number of its port."""
    port_name: str = ""
    """The port's name, empty if it has none."""
    idle_s: int = 350
    """Seconds without a byte after which a connection is closed, or a request answered with 504."""
    open_below: int = 1
    """With fewer healthy targets than this, traffic goes to all targets, healthy or not."""
    slow_start_s: int = 0
    """Seconds in which the share of a target that became healthy rises to its full share."""
    cookie_s: int = 0
    """Seconds for which a cookie binds a client to its target; 0 means that none does."""
    by_source: bool = False
    """Whether a client's address decides which target it gets."""


@dataclass(frozen=True, slots=True)
class NetworkListener:
    """A port whose connections are passed on."""

    port: int
    group: str
    sources: tuple[IPv4Network, ...] = ()
    """Who may connect; everybody unless given."""
    idle_s: int = 350
    """Seconds without a byte after which a connection is closed."""


class Forward(msgspec.Struct, frozen=True, tag=True):
    """Pass a request on: to one of these groups, chosen by weight."""

    groups: tuple[tuple[str, int], ...]


class Redirect(msgspec.Struct, frozen=True, tag=True):
    """Send a client elsewhere; ``#{…}`` stand for parts of its request, as AWS has them."""

    code: int = 302
    protocol: str = "#{protocol}"
    host: str = "#{host}"
    port: str = "#{port}"
    path: str = "/#{path}"
    query: str = "#{query}"


class FixedResponse(msgspec.Struct, frozen=True, tag=True):
    """Answer at once."""

    code: int
    content_type: str = "text/plain"
    body: str = ""


Action = Forward | Redirect | FixedResponse
NOT_FOUND = FixedResponse(404)
"""What an Application Load Balancer does with a request that no rule is for."""


class MethodCondition(msgspec.Struct, frozen=True, tag=True):
    """The request's method is one of these, in this case."""

    values: tuple[str, ...]


class HeaderCondition(msgspec.Struct, frozen=True, tag=True):
    """A header's value matches one of these patterns, in any case."""

    name: str
    values: tuple[str, ...]


class QueryCondition(msgspec.Struct, frozen=True, tag=True):
    r"""A parameter of the query string matches one of these, in any case.

    Each is a pattern for the key, any key if it is None, and one for the value; ``\*`` and ``\?``
    match these characters themselves.
    """

    values: tuple[tuple[str | None, str], ...]


class SourceCondition(msgspec.Struct, frozen=True, tag=True):
    """The client's address is in one of these networks."""

    values: tuple[IPv4Network, ...]


Condition = MethodCondition | HeaderCondition | QueryCondition | SourceCondition


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do with some requests."""

    action: Action
    host: str = ""
    """Only those to this host, in which ``*`` and ``?`` are wildcards; to any unless given."""
    path: str = ""
    """Only those for this path; for any unless given."""
    match: Match = Match.PREFIX
    or_hosts: tuple[str, ...] = ()
    """Requests to one of these hosts as well."""
    or_paths: tuple[str, ...] = ()
    """Requests for a path that matches one of these patterns as well."""
    conditions: tuple[Condition, ...] = ()
    """Only requests for which all of these hold."""


class ForwardedFor(enum.Enum):
    """What is done with ``X-Forwarded-For``."""

    APPEND = "append"
    PRESERVE = "preserve"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How an Application Load Balancer treats all requests."""

    idle_s: int = 60
    """Seconds without a byte after which a connection is closed."""
    http2: bool = True
    """Whether clients may speak HTTP/2 over TLS."""
    forwarded_for: ForwardedFor = ForwardedFor.APPEND
    client_port: bool = False
    """Whether ``X-Forwarded-For`` has the client's port."""
    drop_invalid_headers: bool = False
    """Whether headers whose names hold more than letters, digits and dashes are removed."""
    lowest_tls: str = "TLSv1.2"


@dataclass(frozen=True, slots=True)
class HttpListener:
    """A port whose requests are judged one by one; the first rule that fits counts."""

    port: int
    rules: tuple[Rule, ...]
    default: Action = NOT_FOUND
    certificates: tuple[str, ...] = ()
    """File names; with any, clients have to speak TLS. The first is for who names no host."""
    sources: tuple[IPv4Network, ...] = ()
    """Who may connect; everybody unless given."""
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
    """Yield the names of the groups that an action passes requests on to."""
    if isinstance(action, Forward):
        for name, _ in action.groups:
            yield name
