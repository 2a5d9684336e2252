"""Parses an Ingress's annotations ``conditions.<name>``, which restrict its rules. Pure.

Each is a JSON list. One value of each condition has to match; but values for host and path are
alternatives to the rule's own host and path. Source: the AWS Load Balancer
Controller's guide to Ingress annotations, and the API reference of Elastic Load Balancing,
``RuleCondition``, for the limits on values.
"""

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Final

import msgspec

from monopod.controllers.loadbalancer import patterns
from monopod.controllers.loadbalancer.annotations import network_of
from monopod.controllers.loadbalancer.errors import ConditionError
from monopod.controllers.loadbalancer.lenient_json import decode, without_underscores
from monopod.controllers.loadbalancer.model import (
    Condition,
    HeaderCondition,
    Match,
    MethodCondition,
    QueryCondition,
    Rule,
    SourceCondition,
)

_VALUES_PER_RULE: Final = 5
_WILDCARDS_PER_RULE: Final = 6
"""Source: the quotas of Application Load Balancers, "Rules"."""
_CHARS: Final = 128
_HOST: Final = re.compile(r"[A-Za-z0-9.*?-]+")
_PATH: Final = re.compile(r"[A-Za-z0-9_.$/~\"'@:+&*?%=,;!()#\[\]-]+")
_METHOD: Final = re.compile(r"[A-Z_-]{1,40}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_TEXT: Final = re.compile(r"[\x20-\x7e]+")
_ONCE: Final = frozenset({"http-request-method", "source-ip"})
_REGEX: Final = "regexValues are not supported: write values, with * and ? as wildcards"


class _Values(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    values: list[str] = []
    regex_values: list[str] = []


class _Header(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    http_header_name: str
    values: list[str] = []
    regex_values: list[str] = []


class _Pair(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    value: str
    key: str | None = None


class _Query(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    values: list[_Pair] = []


class _Condition(msgspec.Struct, rename=without_underscores, forbid_unknown_fields=True):
    field: str
    host_header_config: _Values | None = None
    path_pattern_config: _Values | None = None
    http_request_method_config: _Values | None = None
    source_ip_config: _Values | None = None
    http_header_config: _Header | None = None
    query_string_config: _Query | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions that an annotation adds to each rule with its backend."""

    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    all: tuple[Condition, ...] = ()


def read_conditions(text: str) -> Conditions:
    """Parse one annotation's value.

    Raises:
        ConditionError: It is not a list of conditions, or one is invalid on AWS or not supported.
    """
    try:
        listed = decode(text, list[_Condition])
    except msgspec.ValidationError as error:
        raise ConditionError(f"not a list of conditions: {error}") from error
    for field in _ONCE:
        if sum(each.field == field for each in listed) > 1:
            raise ConditionError(f"a rule takes one condition {field}: write its values as a list")
    hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    others: list[Condition] = []
    for each in listed:
        match each.field:
            case "host-header":
                hosts += _plain(each.field, each.host_header_config, _HOST)
            case "path-pattern":
                paths += _plain(each.field, each.path_pattern_config, _PATH)
            case "http-request-method":
                methods = _plain(each.field, each.http_request_method_config, _METHOD)
                others.append(MethodCondition(methods))
            case "source-ip":
                others.append(_sources(_plain(each.field, each.source_ip_config, _TEXT)))
            case "http-header":
                others.append(_header(each.http_header_config))
            case "query-string":
                others.append(_query(each.query_string_config))
            case other:
                raise ConditionError(f"field {other!r} is unknown")
    return Conditions(hosts, paths, tuple(others))


def with_conditions(rule: Rule, also: Conditions) -> Rule:
    """Return a rule with an annotation's conditions added.

    Raises:
        ConditionError: The rule then exceeds AWS's quota of values or wildcards.
    """
    made = replace(rule, or_hosts=also.hosts, or_paths=also.paths, conditions=also.all)
    texts = list(_texts(made))
    if len(texts) > _VALUES_PER_RULE:
        raise ConditionError(
            f"the rule has {len(texts)} condition values with its own host and path; a rule may"
            f" have {_VALUES_PER_RULE}"
        )
    if (count := sum(map(patterns.wildcards, texts))) > _WILDCARDS_PER_RULE:
        raise ConditionError(
            f"the rule has {count} wildcards with its own host and path; a rule may have"
            f" {_WILDCARDS_PER_RULE}"
        )
    return made


def _texts(rule: Rule) -> list[str]:
    """Return a rule's values as AWS counts them: a prefix is two, one with a wildcard."""
    found = [each for each in (rule.host, *rule.or_hosts, *rule.or_paths) if each]
    if rule.path:
        found.append(rule.path)
        if rule.match is Match.PREFIX and rule.path != "/":
            found.append(f"{rule.path}/*")
    for each in rule.conditions:
        match each:
            case QueryCondition():
                found += [(key or "") + of for key, of in each.values]
            case SourceCondition():
                found += map(str, each.values)
            case _:
                found += each.values
    return found


def _plain(field: str, said: _Values | None, allowed: re.Pattern[str]) -> tuple[str, ...]:
    if said is None:
        raise ConditionError(f"condition {field} lacks its configuration")
    return _checked(field, said.values, said.regex_values, allowed)


def _checked(
    field: str, values: list[str], regex_values: list[str], allowed: re.Pattern[str]
) -> tuple[str, ...]:
    if regex_values:
        raise ConditionError(f"condition {field}: {_REGEX}")
    if not values:
        raise ConditionError(f"condition {field} has no values")
    for each in values:
        if len(each) > _CHARS or not allowed.fullmatch(each):
            raise ConditionError(
                f"condition {field}: {each!r} is longer than {_CHARS} characters, or contains one"
                " that is not allowed"
            )
    return tuple(values)


def _sources(texts: tuple[str, ...]) -> SourceCondition:
    found: list[IPv4Network] = []
    for text in texts:
        network = network_of(text) if "/" in text else None
        if network is None:
            raise ConditionError(f"condition source-ip: {text!r} is not an IPv4 network (CIDR)")
        found.append(network)
    return SourceCondition(tuple(found))


def _header(said: _Header | None) -> HeaderCondition:
    if said is None:
        raise ConditionError("condition http-header lacks its configuration")
    name = said.http_header_name
    if not _HEADER_NAME.fullmatch(name):
        raise ConditionError(f"condition http-header: {name!r} is not a header name")
    if name.lower() == "host":
        raise ConditionError("condition http-header: for the host write a condition host-header")
    return HeaderCondition(
        name.lower(), _checked("http-header", said.values, said.regex_values, _TEXT)
    )


def _query(said: _Query | None) -> QueryCondition:
    if said is None:
        raise ConditionError("condition query-string lacks its configuration")
    _checked("query-string", [each.value for each in said.values], [], _TEXT)
    keys = [each.key for each in said.values if each.key]
    if keys:
        _checked("query-string", keys, [], _TEXT)
    return QueryCondition(tuple((each.key or None, each.value) for each in said.values))
