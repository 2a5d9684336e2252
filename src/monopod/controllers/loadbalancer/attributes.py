"""Attributes of load balancers, target groups and listeners. Pure.

Source: the API reference of Elastic Load Balancing, ``LoadBalancerAttribute``,
``TargetGroupAttribute`` and ``ListenerAttribute``, whose names, values and defaults these are.
"""

from collections.abc import Mapping
from typing import Final

from monopod.controllers.loadbalancer.meanings import OFF, Meaning, NoMeaning, Refused, Served
from monopod.controllers.loadbalancer.model import Balance, ForwardedFor, HttpOptions

_SWITCH: Final = "true|false"
_LOGS: Final = "no logs are written; HAProxy's metrics are on port 8405 of its namespace"
_ONE_ADDRESS: Final = "a load balancer has one address, which serves all zones"
_SHARED: Final[Mapping[str, Meaning]] = {
    "access_logs.s3.enabled": Refused(_LOGS, OFF),
    "access_logs.s3.": NoMeaning("only with access_logs.s3.enabled=true, which is refused"),
    "deletion_protection.enabled": Refused(
        "nothing keeps a load balancer when its object is deleted", OFF
    ),
    "ipv6.deny_all_igw_traffic": NoMeaning("there is no IPv6"),
    "load_balancing.cross_zone.enabled": NoMeaning(_ONE_ADDRESS),
    "zonal_shift.config.enabled": NoMeaning(_ONE_ADDRESS),
}
APPLICATION: Final[Mapping[str, Meaning]] = {
    **_SHARED,
    "idle_timeout.timeout_seconds": Served("1 to 4000, 60 by default", lowest=1, highest=4000),
    "routing.http2.enabled": Served("true (the default) or false", _SWITCH),
    "routing.http.xff_header_processing.mode": Served(
        "append (the default), preserve or remove", "append|preserve|remove"
    ),
    "routing.http.xff_client_port.enabled": Served("true or false (the default)", _SWITCH),
    "routing.http.drop_invalid_header_fields.enabled": Served(
        "true or false (the default); names that RFC 9110 forbids lead to 400 either way", _SWITCH
    ),
    "routing.http.preserve_host_header.enabled": NoMeaning("the Host header is always preserved"),
    "routing.http.desync_mitigation_mode": Refused(
        "ambiguous requests are always answered with 400",
        frozenset({"defensive", "strictest"}),
    ),
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": Refused(
        "targets get no headers about TLS but X-Forwarded-Proto", OFF
    ),
    "client_keep_alive.seconds": NoMeaning("connections of clients end when idle, not by age"),
    "connection_logs.s3.enabled": Refused(_LOGS, OFF),
    "connection_logs.s3.": NoMeaning("only with connection_logs.s3.enabled=true, which is refused"),
    "health_check_logs.s3.enabled": Refused(_LOGS, OFF),
    "health_check_logs.s3.": NoMeaning(
        "only with health_check_logs.s3.enabled=true, which is refused"
    ),
    "waf.fail_open.enabled": NoMeaning("there is no WAF"),
}
NETWORK: Final[Mapping[str, Meaning]] = {
    **_SHARED,
    "dns_record.client_routing_policy": NoMeaning(_ONE_ADDRESS),
    "secondary_ips.auto_assigned.per_subnet": Refused(_ONE_ADDRESS, frozenset({"0"})),
}
LISTENER: Final[Mapping[str, Meaning]] = {
    "tcp.idle_timeout.seconds": Served("60 to 6000, 350 by default", lowest=60, highest=6000),
}
_DRAINING: Final = "connections are kept until their pod ends"
_TARGETS: Final[Mapping[str, Meaning]] = {
    "deregistration_delay.timeout_seconds": NoMeaning(_DRAINING),
    "deregistration_delay.connection_termination.enabled": Refused(_DRAINING, OFF),
    "load_balancing.cross_zone.enabled": NoMeaning(_ONE_ADDRESS),
    "target_group_health.dns_failover.minimum_healthy_targets.": NoMeaning(
        "a load balancer has one address, which stays in DNS"
    ),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": Served(
        "1 (the default) to 1000: with fewer healthy targets, all get traffic",
        lowest=1,
        highest=1000,
    ),
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": Refused(
        "write the attribute that ends with count", frozenset({"off"})
    ),
}
APPLICATION_TARGETS: Final[Mapping[str, Meaning]] = {
    **_TARGETS,
    "load_balancing.algorithm.type": Served(
        "round_robin (the default) or least_outstanding_requests",
        "|".join(each.value for each in Balance),
    ),
    "load_balancing.algorithm.anomaly_mitigation": Refused(
        "only health checks take targets out of use", frozenset({"off"})
    ),
    "slow_start.duration_seconds": Served(
        "0 (the default, off), or 30 to 900; not with least_outstanding_requests",
        "0|[3-9][0-9]|[1-8][0-9][0-9]|900",
    ),
    "stickiness.enabled": Served("true or false (the default)", _SWITCH),
    "stickiness.type": Served("lb_cookie; app_cookie is refused", "lb_cookie"),
    "stickiness.lb_cookie.duration_seconds": Served(
        "1 to 604800, 86400 by default", lowest=1, highest=604800
    ),
    "stickiness.app_cookie.": Refused("write stickiness.type=lb_cookie"),
}
NETWORK_TARGETS: Final[Mapping[str, Meaning]] = {
    **_TARGETS,
    "load_balancing.algorithm.type": Served(
        "round_robin (the default) or least_outstanding_requests, which AWS has for ALBs alone",
        "|".join(each.value for each in Balance),
    ),
    "preserve_client_ip.enabled": Refused(
        "targets see the load balancer's address: use proxy protocol", OFF
    ),
    "proxy_protocol_v2.enabled": Served("true or false (the default)", _SWITCH),
    "stickiness.enabled": Served("true or false (the default)", _SWITCH),
    "stickiness.type": Served("source_ip", "source_ip"),
    "target_health_state.unhealthy.connection_termination.enabled": Refused(
        "connections to a target that became unhealthy are kept", OFF
    ),
    "target_health_state.unhealthy.draining_interval_seconds": NoMeaning(
        "connections to a target that became unhealthy are kept"
    ),
}
_COOKIE_S: Final = 86400


def http_options(attributes: Mapping[str, str], lowest_tls: str) -> HttpOptions:
    """Return a load balancer's HTTP options from its supported attributes."""
    default = HttpOptions()
    return HttpOptions(
        idle_s=int(attributes.get("idle_timeout.timeout_seconds", default.idle_s)),
        http2=attributes.get("routing.http2.enabled", "true") == "true",
        forwarded_for=ForwardedFor(
            attributes.get("routing.http.xff_header_processing.mode", "append")
        ),
        client_port=attributes.get("routing.http.xff_client_port.enabled") == "true",
        drop_invalid_headers=attributes.get("routing.http.drop_invalid_header_fields.enabled")
        == "true",
        lowest_tls=lowest_tls,
    )


def open_below(attributes: Mapping[str, str]) -> int:
    """Return the number of healthy targets below which the group fails open."""
    name = "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count"
    return int(attributes.get(name, 1))


def balance(attributes: Mapping[str, str]) -> Balance:
    """Return the load-balancing algorithm."""
    return Balance(attributes.get("load_balancing.algorithm.type", Balance.ROUND_ROBIN.value))


def cookie_s(attributes: Mapping[str, str]) -> int:
    """Return the lifetime of the stickiness cookie in seconds; 0 means no stickiness."""
    if attributes.get("stickiness.enabled") != "true":
        return 0
    return int(attributes.get("stickiness.lb_cookie.duration_seconds", _COOKIE_S))
