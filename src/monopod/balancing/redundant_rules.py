"""Which rules a listener leaves out, because they cannot do what they say. Pure.

An Ingress gives its rules to all its listeners, so a redirect from HTTP to HTTPS is on the HTTPS
listener too, where it would lead to itself. AWS's controller leaves such rules out and so do we, by
its criterion (source: the AWS Load Balancer Controller, its rule optimizer): protocol, port and
query stay as they are, and host and path do or are among the rule's own. Rules behind a redirect
that takes all their requests are left out as well; they would never be reached.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from monopod.balancing.model import Match, Redirect, Rule

_UNCHANGED: Final = Redirect()
_EVERY_PATH: Final = "/*"


def leads_to_itself(rule: Rule, port: int, *, secure: bool) -> bool:
    """Whether a rule redirects requests of a listener to where they already are.

    Args:
        rule: Any rule.
        port: The listener's.
        secure: Whether its clients speak TLS.
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
    """Return the rules that a listener has, in their order."""
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
    """Those to some hosts for some paths; an empty set is all of them."""

    hosts: frozenset[str]
    paths: frozenset[str]

    def cover(self, others: "_Requests") -> bool:
        """Whether all the others are among these."""
        every_host = not self.hosts or (others.hosts and self.hosts >= others.hosts)
        every_path = not self.paths or _EVERY_PATH in self.paths
        return bool(every_host and (every_path or (others.paths and self.paths >= others.paths)))


def _hosts(rule: Rule) -> frozenset[str]:
    return frozenset(each.lower() for each in (rule.host, *rule.or_hosts) if each)


def _paths(rule: Rule) -> frozenset[str]:
    """Return a rule's paths as the patterns that AWS has for them."""
    if not rule.path:
        return frozenset(rule.or_paths)
    if rule.match is not Match.PREFIX:
        return frozenset((rule.path, *rule.or_paths))
    stem = rule.path.removesuffix("/")
    own = (stem, f"{stem}/*") if stem else (_EVERY_PATH,)
    return frozenset((*own, *rule.or_paths))
