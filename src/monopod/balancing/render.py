"""HAProxy's configuration from plain data. Pure.

Targets are named by their address and port, so a worker that runs can be told of new ones without
an exchange of names; ``Rendered.version`` covers everything that a running worker cannot be told.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from monopod.balancing.model import (
    Action,
    Balance,
    Balancer,
    FixedResponse,
    Forward,
    HttpListener,
    Match,
    NetworkListener,
    Redirect,
    Rule,
    Target,
    TargetGroup,
)

VERSION_PREFIX: Final = "version-"
"""Of the name of a backend that is never used; HAProxy tells by it what it runs."""
WEIGHT: Final = 100
"""Of a target; one that drains has 0."""
_ANY: Final = Target(IPv4Address(0), 0)
_DICE: Final = 1 << 20
_BALANCE: Final = {
    Balance.ROUND_ROBIN: "roundrobin",
    Balance.LEAST_OUTSTANDING: "leastconn",
}
_REDIRECT_PARTS: Final = {
    "#{protocol}": "%[var(txn.scheme)]",
    "#{host}": "%[var(txn.host)]",
    "#{port}": "%[dst_port]",
    "/#{path}": "%[path]",
    "#{path}": "%[path,regsub(^/,)]",
    "?#{query}": "%[var(txn.query)]",
    "#{query}": "%[query]",
}
_ESCAPES: Final = {"'": r"'\''", "\n": r"'\n'", "\r": r"'\r'", "\t": r"'\t'"}
"""Within quotes nothing is special, not even a backslash: so they are left for a moment."""
_BODILESS: Final = frozenset({204, 205, 304})
_NETWORKS_IN_A_LINE: Final = 32
"""HAProxy takes 64 words."""
_PLACEHOLDER: Final = re.compile("(" + "|".join(map(re.escape, _REDIRECT_PARTS)) + ")")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A configuration, ready to be loaded."""

    text: str
    version: str
    """Name of a backend in it: equal for two that differ in nothing but targets."""


def base() -> str:
    """Return what holds whatever load balancers there are.

    Time-outs are those of AWS's: 350 s without a byte for connections, 60 s for requests.
    """
    return """\
global
    # Old workers end with their last connection, whenever that is.
    tune.ssl.default-dh-param 2048
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-server-verify none

defaults
    mode tcp
    timeout connect 5s
    timeout client 350s
    timeout server 350s
    timeout http-request 60s
    timeout tunnel 1h
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
    http-request use-service prometheus-exporter if { path /metrics }
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
            made = list(_backend(balancer, group))
            lines += made
            # Which targets there are is nothing to the version; how they are treated is.
            shape += [*made, server(group, _ANY)]
            lines += [
                f"    server {each.name} {server(group, each)}" for each in sorted(group.targets)
            ]
    digest = hashlib.sha256("\n".join(shape).encode()).hexdigest()[:16]
    version = f"{VERSION_PREFIX}{digest}"
    return Rendered("\n".join([f"backend {version}", *lines, ""]), version)


def backend_name(balancer: Balancer, group: str) -> str:
    """Return what HAProxy calls a group."""
    return f"{balancer.name}:{group}"


def weight(target: Target) -> int:
    """Return a target's weight."""
    return 0 if target.draining else WEIGHT


def server(group: TargetGroup, target: Target) -> str:
    """Return a target's parameters, as a file and as the command ``add server`` have them."""
    check = group.check
    words = [
        target.name,
        f"weight {weight(target)}",
        "check",
        f"inter {check.interval_s}s",
        f"fall {check.unhealthy}",
        f"rise {check.healthy}",
    ]
    if check.port is not None and check.port != target.port:
        words.append(f"port {check.port}")
    elif group.proxy_protocol:
        words.append("check-send-proxy")
    if group.proxy_protocol:
        words.append("send-proxy-v2")
    if group.protocol.is_secure:
        words.append("ssl verify none")
    if check.protocol.is_secure:
        words.append("check-ssl verify none")
    elif group.protocol.is_secure:
        words.append("no-check-ssl")
    return " ".join(words)


def quoted(text: str) -> str:
    """Return a text as one word of HAProxy's configuration, whatever is in it.

    Raises:
        ValueError: It holds a control character, which no word can.
    """
    if any(ord(character) < 32 and character not in _ESCAPES for character in text):
        raise ValueError(f"{text!r} holds a control character")
    return "'" + "".join(_ESCAPES.get(character, character) for character in text) + "'"


def _frontend(
    balancer: Balancer, listener: NetworkListener | HttpListener, certificates: Path
) -> Iterator[str]:
    yield f"frontend {balancer.name}:{listener.port}"
    secure = ""
    if isinstance(listener, HttpListener) and listener.certificates:
        files = " ".join(
            f"crt {quoted(str(certificates / each))}" for each in listener.certificates
        )
        secure = f" ssl {files} alpn h2,http/1.1"
    yield f"    bind {balancer.address}:{listener.port}{secure}"
    if listener.sources:
        for start in range(0, len(listener.sources), _NETWORKS_IN_A_LINE):
            some = listener.sources[start : start + _NETWORKS_IN_A_LINE]
            yield f"    acl allowed src {' '.join(map(str, some))}"
        yield "    tcp-request connection reject unless allowed"
    if isinstance(listener, NetworkListener):
        yield f"    default_backend {backend_name(balancer, listener.group)}"
        return
    yield "    mode http"
    yield "    timeout client 60s"
    yield "    option forwardfor"
    scheme = "https" if listener.certificates else "http"
    yield f"    http-request set-var(txn.scheme) str({scheme})"
    yield "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower"
    yield "    http-request set-var(txn.path) path"
    yield "    http-request set-var-fmt(txn.query) ?%[query] if { query -m len gt 0 }"
    yield f"    http-request set-var(txn.dice) rand({_DICE})"
    yield f"    http-request set-header X-Forwarded-Proto {scheme}"
    yield "    http-request set-header X-Forwarded-Port %[dst_port]"
    # The first rule that fits decides, whatever it does: HAProxy would look at its own kinds of
    # rules kind by kind.
    for number, rule in enumerate(listener.rules):
        condition = _condition(rule)
        unset = "!{ var(txn.rule) -m found }"
        alternatives = [f"{unset} {each}" for each in condition] or [unset]
        yield f"    http-request set-var(txn.rule) int({number}) if {' or '.join(alternatives)}"
    actions: list[str] = []
    for number, rule in enumerate(listener.rules):
        actions += _act(balancer, rule.action, f"{{ var(txn.rule) -m int {number} }}")
    otherwise = "" if isinstance(listener.default, Forward) else "!{ var(txn.rule) -m found }"
    actions += _act(balancer, listener.default, otherwise)
    # Rules exclude each other, so HAProxy may have its kinds in its own order.
    yield from sorted(actions, key=lambda line: not line.startswith("    http-request"))


def _condition(rule: Rule) -> list[str]:
    """Return alternatives, each a conjunction; none if the rule is for every request."""
    host = f"{_match('txn.host', rule.host.lower())} " if rule.host else ""
    if not rule.path:
        return [host.strip()] if host else []
    if rule.match is Match.WILDCARD:
        return [host + _match("txn.path", rule.path)]
    if rule.match is Match.EXACT:
        return [host + _string("txn.path", "str", rule.path)]
    stem = rule.path.rstrip("/")
    if not stem:
        return [host.strip()] if host else []
    return [
        host + _string("txn.path", "str", stem),
        host + _string("txn.path", "beg", f"{stem}/"),
    ]


def _string(variable: str, method: str, text: str) -> str:
    return f"{{ var({variable}) -m {method} -- {quoted(text)} }}"


def _match(variable: str, pattern: str) -> str:
    if not set(pattern) & set("*?"):
        return _string(variable, "str", pattern)
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(each, re.escape(each)) for each in pattern)
    return _string(variable, "reg", f"^{expression}$")


def _act(balancer: Balancer, action: Action, chosen: str) -> Iterator[str]:
    condition = f" if {chosen}" if chosen else ""
    match action:
        case FixedResponse():
            said = ""
            if action.body and action.code not in _BODILESS:
                said = f" content-type {quoted(action.content_type)} string {quoted(action.body)}"
            yield f"    http-request return status {action.code}{said}{condition}"
        case Redirect():
            yield (
                f"    http-request redirect code {action.code} location"
                f" {quoted(_location(action))}{condition}"
            )
        case Forward():
            yield from _forward(balancer, action.groups, chosen)


def _forward(balancer: Balancer, groups: Sequence[tuple[str, int]], chosen: str) -> Iterator[str]:
    weighted = [(name, share) for name, share in groups if share > 0] or list(groups[:1])
    total = sum(share for _, share in weighted)
    below = 0
    for name, share in weighted[:-1]:
        below += share
        dice = f"{{ var(txn.dice) -m int lt {_DICE * below // total} }}"
        condition = " ".join(filter(None, (chosen, dice)))
        yield f"    use_backend {backend_name(balancer, name)} if {condition}"
    last = backend_name(balancer, weighted[-1][0])
    yield f"    use_backend {last} if {chosen}" if chosen else f"    default_backend {last}"


def _location(action: Redirect) -> str:
    def text(part: str) -> str:
        words = _PLACEHOLDER.split(part)
        return "".join(_REDIRECT_PARTS.get(word, word.replace("%", "%%")) for word in words)

    protocol, port = action.protocol.lower(), action.port
    usual = {"http": "80", "https": "443"}.get(protocol)
    place = "" if port == usual else f":{text(port)}"
    query = text(f"?{action.query}") if action.query else ""
    return f"{text(protocol)}://{text(action.host)}{place}{text(action.path)}{query}"


def _backend(balancer: Balancer, group: TargetGroup) -> Iterator[str]:
    yield f"backend {backend_name(balancer, group.name)}"
    http = group.protocol.is_http
    if http:
        yield "    mode http"
        yield "    timeout server 60s"
        # What may have been done already must not be done twice.
        yield "    retry-on conn-failure empty-response"
        yield "    http-request disable-l7-retry if !METH_GET"
    yield f"    balance {_BALANCE[group.balance]}"
    yield f"    source {balancer.address}"
    check = group.check
    yield f"    timeout check {check.timeout_s}s"
    if check.protocol.is_http:
        yield "    option httpchk"
        uri = quoted(check.path)
        yield f"    http-check send meth GET uri {uri} ver HTTP/1.1 hdr Host {balancer.name}"
        yield f"    http-check expect status {check.codes}"
