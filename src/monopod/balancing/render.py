"""HAProxy's configuration from plain data. Pure.

Targets are named by their address and port, so a worker that runs can be told of new ones without
an exchange of names; ``Rendered.version`` covers everything that a running worker cannot be told.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.balancing.model import (
    Balance,
    Balancer,
    ForwardedFor,
    HttpListener,
    HttpOptions,
    NetworkListener,
    Target,
    TargetGroup,
)
from monopod.balancing.render_rules import (
    DICE,
    backend_name,
    forward_lines,
    open_backend_name,
    quoted,
    rule_lines,
)

VERSION_PREFIX: Final = "version-"
"""Of the name of a backend that is never used; HAProxy tells by it what it runs."""
WEIGHT: Final = 100
"""Of a target; one that drains has 0."""
_ANY: Final = Target(IPv4Address(0), 0)
_BALANCE: Final = {
    Balance.ROUND_ROBIN: "roundrobin",
    Balance.LEAST_OUTSTANDING: "leastconn",
}
_NETWORKS_IN_A_LINE: Final = 32
"""HAProxy takes 64 words."""
_LARGEST_LINE: Final = 16 << 10
_LARGEST_REQUEST_HEADER: Final = 64 << 10
_LARGEST_RESPONSE_HEADER: Final = 32 << 10
"""Bytes. Source: the quotas of Application Load Balancers, "HTTP headers"."""
_BUFFER: Final = _LARGEST_REQUEST_HEADER + (32 << 10)
"""Bytes: the largest header, HAProxy's own index of it, and what is added to it."""
_FILES: Final = 20000
"""Open at once: twice the connections. One that has no data under way has no buffer; a limit on
buffers instead stalls all load balancers once it is reached, for longer than what reached it."""
_HEADERS: Final = 1000


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, ready to be loaded."""

    text: str
    version: str
    """Name of a backend in it: equal for two that differ in nothing but targets."""


def base() -> str:
    """Return what holds for all load balancers.

    Time-outs are AWS's for Network Load Balancers: 350 s without a byte. Headers are read whole, so
    buffers hold the largest that an Application Load Balancer takes; the number of open files
    bounds connections, and with them the memory.
    """
    return f"""\
global
    # Old workers end with their last connection, whenever that is.
    fd-hard-limit {_FILES}
    tune.bufsize {_BUFFER}
    tune.maxrewrite 2048
    tune.http.maxhdr {_HEADERS}
    tune.ssl.default-dh-param 2048
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-server-verify none

defaults
    mode tcp
    timeout connect 5s
    timeout client 350s
    timeout server 350s
    timeout http-request 60s
    timeout tunnel 350s
    retries 3
    option redispatch 1
    option splice-auto
    option clitcpka
    option srvtcpka

# There is always something to listen for; and this is where it is measured.
frontend metrics
    mode http
    bind 127.0.0.1:8405
    timeout client 60s
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 200
"""


def render(balancers: Iterable[Balancer], certificates: Path) -> Rendered:
    """Return the configuration of these load balancers.

    Args:
        balancers: All there are.
        certificates: The directory of the files that listeners name.
    """
    lines: list[str] = []
    shape: list[str] = []
    for balancer in sorted(balancers, key=lambda each: each.name):
        for listener in balancer.listeners:
            made = list(_frontend(balancer, listener, certificates))
            lines += made
            shape += made
        for group in balancer.groups:
            for name, checked in backends(balancer, group):
                made = [f"backend {name}", *_backend(balancer, group, checked=checked)]
                lines += made
                # The version covers how targets are treated, and not which there are.
                shape += [*made, server(group, _ANY, checked=checked)]
                lines += [
                    f"    server {each.name} {server(group, each, checked=checked)}"
                    for each in sorted(group.targets)
                ]
    digest = hashlib.sha256("\n".join(shape).encode()).hexdigest()[:16]
    version = f"{VERSION_PREFIX}{digest}"
    return Rendered("\n".join([f"backend {version}", *lines, ""]), version)


def weight(target: Target) -> int:
    """Return a target's weight."""
    return 0 if target.draining else WEIGHT


def backends(balancer: Balancer, group: TargetGroup) -> tuple[tuple[str, bool], ...]:
    """Return what HAProxy calls a group, and whether targets are checked there.

    A group is there twice: the one whose targets are not checked takes the traffic when too few of
    the other's are healthy.
    """
    return (
        (backend_name(balancer, group.name), True),
        (open_backend_name(balancer, group.name), False),
    )


def server(group: TargetGroup, target: Target, *, checked: bool = True) -> str:
    """Return a target's parameters, as a file and as the command ``add server`` have them."""
    words = [target.name, f"weight {weight(target)}"]
    if group.proxy_protocol:
        words.append("send-proxy-v2")
    if group.protocol.is_secure:
        words.append("ssl verify none")
    if not checked:
        return " ".join(words)
    check = group.check
    words += [
        "check",
        f"inter {check.interval_s}s",
        f"fall {check.unhealthy}",
        f"rise {check.healthy}",
    ]
    if group.slow_start_s:
        words.append(f"slowstart {group.slow_start_s}s")
    if check.port is not None and check.port != target.port:
        words.append(f"port {check.port}")
    elif group.proxy_protocol:
        words.append("check-send-proxy")
    if check.protocol.is_secure:
        words.append("check-ssl verify none")
    elif group.protocol.is_secure:
        words.append("no-check-ssl")
    return " ".join(words)


def _frontend(
    balancer: Balancer, listener: NetworkListener | HttpListener, certificates: Path
) -> Iterator[str]:
    yield f"frontend {balancer.name}:{listener.port}"
    yield f"    bind {balancer.address}:{listener.port}{_security(listener, certificates)}"
    if listener.sources:
        for start in range(0, len(listener.sources), _NETWORKS_IN_A_LINE):
            some = listener.sources[start : start + _NETWORKS_IN_A_LINE]
            yield f"    acl allowed src {' '.join(map(str, some))}"
        yield "    tcp-request connection reject unless allowed"
    if isinstance(listener, NetworkListener):
        yield f"    timeout client {listener.idle_s}s"
        group = next(each for each in balancer.groups if each.name == listener.group)
        yield from forward_lines(balancer, group)
        return
    yield "    mode http"
    yield f"    timeout client {listener.options.idle_s}s"
    yield f"    timeout http-keep-alive {listener.options.idle_s}s"
    yield from _limits()
    scheme = "https" if listener.certificates else "http"
    yield f"    http-request set-var(txn.scheme) str({scheme})"
    yield "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower"
    yield "    http-request set-var(txn.path) path"
    yield "    http-request set-var-fmt(txn.query) ?%[query] if { query -m len gt 0 }"
    yield f"    http-request set-var(txn.dice) rand({DICE})"
    yield from _headers(listener.options)
    yield f"    http-request set-header X-Forwarded-Proto {scheme}"
    yield "    http-request set-header X-Forwarded-Port %[dst_port]"
    yield from rule_lines(balancer, listener)


def _security(listener: NetworkListener | HttpListener, certificates: Path) -> str:
    if isinstance(listener, NetworkListener) or not listener.certificates:
        return ""
    files = " ".join(f"crt {quoted(str(certificates / each))}" for each in listener.certificates)
    protocols = "h2,http/1.1" if listener.options.http2 else "http/1.1"
    return f" ssl {files} ssl-min-ver {listener.options.lowest_tls} alpn {protocols}"


def _limits() -> Iterator[str]:
    """Yield the lines that answer what AWS does not pass on: long headers, and TRACE."""
    total = f"{{ req.hdrs -m len gt {_LARGEST_REQUEST_HEADER} }}"
    large = f"{{ req.hdrs -m len gt {_LARGEST_LINE} }}"
    line = quoted(f"(?m)^[^\r\n]{{{_LARGEST_LINE + 1}}}")
    yield "    http-request return status 405 if METH_TRACE"
    yield f"    http-request return status 414 if {{ url -m len gt {_LARGEST_LINE} }}"
    yield f"    http-request return status 400 if {total}"
    yield f"    http-request return status 400 if {large} {{ req.hdrs -m reg -- {line} }}"
    too_large = f"{{ res.hdrs -m len gt {_LARGEST_RESPONSE_HEADER} }}"
    yield f"    http-response return status 502 if {too_large}"


def _headers(options: HttpOptions) -> Iterator[str]:
    """Yield the lines that change a request's headers on its way to a target."""
    if options.drop_invalid_headers:
        yield "    http-request del-header [^-A-Za-z0-9] -m reg"
    client = "%[src]:%[src_port]" if options.client_port else "%[src]"
    match options.forwarded_for:
        case ForwardedFor.REMOVE:
            yield "    http-request del-header X-Forwarded-For"
        case ForwardedFor.APPEND:
            # In the same line: many programs read one line alone, and a client may send the first.
            one = "{ req.fhdr_cnt(x-forwarded-for) eq 1 }"
            yield f"    http-request set-var(txn.only) bool(true) if {one}"
            both = f'"%[req.fhdr(x-forwarded-for)], {client}"'
            yield f"    http-request set-header X-Forwarded-For {both} if {one}"
            yield (
                f"    http-request add-header X-Forwarded-For {client}"
                " unless { var(txn.only) -m found }"
            )
        case ForwardedFor.PRESERVE:
            pass


def _backend(balancer: Balancer, group: TargetGroup, *, checked: bool) -> Iterator[str]:
    http = group.protocol.is_http
    if http:
        yield "    mode http"
        # What may have been done already must not be done twice.
        yield "    retry-on conn-failure empty-response"
        yield "    http-request disable-l7-retry if !METH_GET"
    yield f"    timeout server {group.idle_s}s"
    yield f"    timeout tunnel {group.idle_s}s"
    if group.by_source:
        yield "    balance source"
        yield "    hash-type consistent"
    else:
        yield f"    balance {_BALANCE[group.balance]}"
    if http and group.cookie_s:
        # A dynamic cookie follows from this key and the target's address: `add server` takes none.
        yield f"    dynamic-cookie-key {balancer.name}"
        yield (
            "    cookie AWSALB insert indirect nocache dynamic"
            f" maxidle {group.cookie_s}s attr {quoted(f'Max-Age={group.cookie_s}')}"
        )
    yield f"    source {balancer.address}"
    if not checked:
        return
    check = group.check
    yield f"    timeout check {check.timeout_s}s"
    if check.protocol.is_http:
        yield "    option httpchk"
        uri = quoted(check.path)
        yield f"    http-check send meth GET uri {uri} ver HTTP/1.1 hdr Host {balancer.name}"
        yield f"    http-check expect status {check.codes}"
