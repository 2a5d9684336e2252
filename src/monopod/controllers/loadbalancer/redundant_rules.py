"""Removes rules that are without effect on a listener. Pure.

An Ingress's rules apply to all its listeners, so a redirect from HTTP to HTTPS is on the HTTPS
listener too, where it would lead to itself. Like AWS's controller we remove such rules, by its
criterion (source: the AWS Load Balancer Controller, its rule optimizer): protocol, port and query
are unchanged, and host and path are unchanged or among the rule's own. Rules after a redirect that
matches all their requests are removed as well, as they are unreachable.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monopod.controllers.loadbalancer.model import Match, Redirect, Rule

_UNCHANGED: Final = Redirect()
_EVERY_PATH: Final = "/*"


def leads_to_itself(rule: Rule, port: int, *, secure: bool) -> bool:
    """Whether a rule redirects requests of a listener to themselves.

    Args:
        rule: Any rule.
        port: The listener's port.
        secure: Whether the listener uses TLS.
    """
    to = rule.action
    if not isinstance(to, Redirect):
        return False
    protocol = "https" if secure else "http"
    return (
        to.protocol.lower() in (_UNCHANGED.protocol, protocol)
        and to.port in (_UNCHANGED.port, str(port))
        and to.query == _UNCHANGED.query
        and (to.host == _UNCHANGED.host or to.host.lower() in _hosts(rule))
        and (to.path == _UNCHANGED.path or to.path in _paths(rule))
    )


def effective(rules: Iterable[Rule], port: int, *, secure: bool) -> tuple[Rule, ...]:
    """Return a listener's effective rules, in order."""
    kept: list[Rule] = []
    taken: list[_Requests] = []
    for rule in rules:
        own = _Requests(_hosts(rule), _paths(rule))
        if leads_to_itself(rule, port, secure=secure) or any(each.cover(own) for each in taken):
            continue
        kept.append(rule)
        if isinstance(rule.action, Redirect) and not rule.conditions:
            taken.append(own)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class _Requests:
    """The requests to some hosts and paths; an empty set means all."""

    hosts: frozenset[str]
    paths: frozenset[str]

    def cover(self, others: "_Requests") -> bool:
        """Whether these requests include all the others."""
        every_host = not self.hosts or (others.hosts and self.hosts >= others.hosts)
        every_path = not self.paths or _EVERY_PATH in self.paths
        return bool(every_host and (every_path or (others.paths and self.paths >= others.paths)))


def _hosts(rule: Rule) -> frozenset[str]:
    return frozenset(each.lower() for each in (rule.host, *rule.or_hosts) if each)


def _paths(rule: Rule) -> frozenset[str]:
    """Return a rule's paths as AWS's patterns."""
    if not rule.path:
        return frozenset(rule.or_paths)
    if rule.match is not Match.PREFIX:
        return frozenset((rule.path, *rule.or_paths))
    stem = rule.path.removesuffix("/")
    own = (stem, f"{stem}/*") if stem else (_EVERY_PATH,)
    return frozenset((*own, *rule.or_paths))
