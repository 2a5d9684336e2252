"""Every annotation of Services that AWS's controller knows, for Network Load Balancers. Pure.

Source: the AWS Load Balancer Controller 3, its guide to Service annotations and its list of names.
"""

from collections.abc import Mapping
from typing import Final

from monopod.controllers.loadbalancer.meanings import OFF, Meaning, NoMeaning, Refused, Served

_TLS: Final = "listeners do not end TLS: let the pod do it, or write an Ingress with a Secret"
_ADDRESSES: Final = "addresses come from the cluster's transit network and cannot be chosen"
_UDP: Final = "only TCP is served"
_IPV6: Final = NoMeaning("there is IPv4 alone")
_GROUPS: Final = "write spec.loadBalancerSourceRanges"
_NO_GROUPS: Final = NoMeaning("load balancers have no security groups")
_LOGS: Final = "no logs are written"
SERVICE: Final[Mapping[str, Meaning]] = {
    "type": Served("external or nlb-ip, for a Service without a class"),
    "nlb-target-type": Served("ip, the default; instance is refused"),
    "scheme": Served("internal (the default) or internet-facing"),
    "internal": Served("true (the default) or false; scheme counts for more"),
    "proxy-protocol": Served("*: version 2 to targets"),
    "proxy-protocol-per-target-group": Served("ports whose targets get PROXY protocol, version 2"),
    "backend-protocol": Served("tcp (the default) or ssl: TLS to targets"),
    "attributes": Served("see the attributes"),
    "target-group-attributes": Served("see the attributes"),
    "target-group-attributes.": Served("the same for one port, as target-group-attributes.80"),
    "listener-attributes.": Served("for TCP-PORT: tcp.idle_timeout.seconds"),
    "healthcheck-protocol": Served("TCP (the default), HTTP or HTTPS"),
    "healthcheck-port": Served("traffic-port (the default), a number, or the Service port's name"),
    "healthcheck-path": Served("/ by default"),
    "healthcheck-success-codes": Served("200-399 by default"),
    "healthcheck-interval": Served("5 to 300, 10 by default"),
    "healthcheck-timeout": Served("2 to 120, 10 by default, 6 for HTTP and HTTPS"),
    "healthcheck-healthy-threshold": Served("2 to 10, 3 by default"),
    "healthcheck-unhealthy-threshold": Served("2 to 10, 3 by default"),
    "cross-zone-load-balancing-enabled": NoMeaning("one address serves all zones"),
    "access-log-enabled": Refused(_LOGS, OFF),
    "access-log-s3-bucket-name": NoMeaning("only with access-log-enabled, which is refused"),
    "access-log-s3-bucket-prefix": NoMeaning("only with access-log-enabled, which is refused"),
    "ssl-cert": Refused(_TLS),
    "ssl-ports": Refused(_TLS),
    "ssl-negotiation-policy": Refused(_TLS),
    "alpn-policy": Refused(_TLS, frozenset({"none"})),
    "security-groups": Refused(_GROUPS),
    "security-group-prefix-lists": Refused(_GROUPS),
    "manage-backend-security-group-rules": _NO_GROUPS,
    "disable-nlb-sg": _NO_GROUPS,
    "inbound-sg-rules-on-private-link-traffic": _NO_GROUPS,
    "enable-icmp-for-path-mtu-discovery": _NO_GROUPS,
    "eip-allocations": Refused(_ADDRESSES),
    "private-ipv4-addresses": Refused(_ADDRESSES),
    "ipv6-addresses": Refused("there is IPv4 alone"),
    "ip-address-type": _IPV6,
    "enable-prefix-for-ipv6-source-nat": _IPV6,
    "source-nat-ipv6-prefixes": _IPV6,
    "enable-tcp-udp-listener": Refused(_UDP, OFF),
    "quic-enabled-ports": Refused(_UDP),
    "multi-cluster-target-group": Refused("targets are pods of this cluster alone", OFF),
    "minimum-load-balancer-capacity": NoMeaning("no capacity is reserved"),
    "name": NoMeaning("names follow from namespace and name"),
    "subnets": NoMeaning("a load balancer has one address, outside all subnets"),
    "additional-resource-tags": NoMeaning("nothing has tags"),
    "target-node-labels": NoMeaning("only with instance targets, which are refused"),
}
"""Annotations with the prefix ``service.beta.kubernetes.io/aws-load-balancer-``."""
WITHOUT_PREFIX: Final[Mapping[str, Meaning]] = {
    "load-balancer-source-ranges": Served("IPv4 networks that may connect, if the spec names none"),
    "actions.": Refused("a listener has the targets of its Service only"),
}
"""Annotations with the prefix ``service.beta.kubernetes.io/``."""
