"""Renders HAProxy's configuration from plain data. Pure.

Targets are named by their address and port, so that new ones can be added to a running worker
without a mapping of names; ``Rendered.version`` covers everything that takes a reload.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.controllers.loadbalancer.model import (
    Balance,
    Balancer,
    ForwardedFor,
    HttpListener,
    HttpOptions,
    NetworkListener,
    Target,
    TargetGroup,
)
from monopod.controllers.loadbalancer.render_rules import (
    DICE,
    backend_name,
    forward_lines,
    open_backend_name,
    quoted,
    rule_lines,
)
from monopod.node.net.cluster_network import BALANCER_METRICS_PORT

VERSION_PREFIX: Final = "version-"
"""The prefix of an unused backend's name, which identifies the configuration that HAProxy runs."""
WEIGHT: Final = 100
"""A target's weight; a draining one has 0."""
_ANY: Final = Target(IPv4Address(0), 0)
_BALANCE: Final = {
    Balance.ROUND_ROBIN: "roundrobin",
    Balance.LEAST_OUTSTANDING: "leastconn",
}
_NETWORKS_IN_A_LINE: Final = 32
"""HAProxy accepts 64 words in a line."""
_LARGEST_LINE: Final = 16 << 10
_LARGEST_REQUEST_HEADER: Final = 64 << 10
_LARGEST_RESPONSE_HEADER: Final = 32 << 10
"""Bytes. Source: the quotas of Application Load Balancers, "HTTP headers"."""
_BUFFER: Final = _LARGEST_REQUEST_HEADER + (32 << 10)
"""Bytes: the largest header, HAProxy's index of it, and the headers added to it."""
_FILES: Final = 20000
"""Open files: twice the connections. Idle connections have no buffer; a limit on buffers instead
would stall all load balancers once reached, and for longer than the load that reached it."""
_HEADERS: Final = 1000
CONNECTIONS: Final = 2000
"""Connections of one listener; those beyond wait, unaccepted. All together have half as many as
there are open files."""
_OLD_WORKERS_S: Final = 3600
"""Seconds that a worker may continue with its connections after a reload: each is a process with
its memory, and every tenant causes reloads."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered configuration."""

    text: str
    version: str
    """Name of a backend in it: equal for configurations that differ only in targets."""


def base(metrics: IPv4Address | None = None) -> str:
    """Return the static configuration of all load balancers.

    Args:
        metrics: The address at which the metrics proxy reads HAProxy's metrics; None means that
            only the loopback has them.

    Time-outs are AWS's for Network Load Balancers: 350 s idle. Headers are buffered whole, so
    buffers fit the largest that an Application Load Balancer accepts; the number of open files
    bounds connections, and so memory.
    """
    places = [f"{each}:{BALANCER_METRICS_PORT}" for each in ("127.0.0.1", metrics) if each]
    return f"""\
global
    # After a reload, old workers exit after their last connection, and then in any case.
    hard-stop-after {_OLD_WORKERS_S}s
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

# HAProxy needs at least one listener; this one serves metrics.
frontend metrics
    mode http
    bind {",".join(places)}
    timeout client 60s
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 200
"""


def render(balancers: Iterable[Balancer], certificates: Path) -> Rendered:
    """Return the configuration of these load balancers.

    Args:
        balancers: All load balancers.
        certificates: The directory of the certificate files.
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
                # The version covers the options of targets, not the list of targets.
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
    """Return a group's backend names, each with whether its targets are health-checked.

    A group has two backends: the one without health checks gets the traffic when too few targets of
    the other are healthy.
    """
    return (
        (backend_name(balancer, group.name), True),
        (open_backend_name(balancer, group.name), False),
    )


def server(group: TargetGroup, target: Target, *, checked: bool = True) -> str:
    """Return a target's parameters, for the configuration and for the command ``add server``."""
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
    yield f"    maxconn {CONNECTIONS}"
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
    """Yield the lines that reject what AWS rejects: long headers, and TRACE."""
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
    """Yield the lines that change the headers of forwarded requests."""
    if options.drop_invalid_headers:
        yield "    http-request del-header [^-A-Za-z0-9] -m reg"
    client = "%[src]:%[src_port]" if options.client_port else "%[src]"
    match options.forwarded_for:
        case ForwardedFor.REMOVE:
            yield "    http-request del-header X-Forwarded-For"
        case ForwardedFor.APPEND:
            # On one line: many programs read only the first, which a client may have sent.
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
        # A request that may have been processed must not be repeated.
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
        # A cookie derived from this key and the target's address, as `add server` accepts none.
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
