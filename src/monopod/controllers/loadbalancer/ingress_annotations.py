"""Every annotation ``alb.ingress.kubernetes.io/…`` that AWS's controller knows. Pure.

Source: the AWS Load Balancer Controller 3, its guide to Ingress annotations and its list of names.
"""

from collections.abc import Mapping
from typing import Final

from monopod.controllers.loadbalancer.meanings import NONE, OFF, Meaning, NoMeaning, Refused, Served

_CERTIFICATES: Final = "certificates come from the Secrets that spec.tls names"
_WAF: Final = "there is no web application firewall"
_NLB: Final = "write a Service of type LoadBalancer"
_ONLY_NLB: Final = NoMeaning("only with enable-frontend-nlb, which is refused")
_AUTH: Final = "load balancers do not authenticate users: let the application do it"
_ONLY_AUTH: Final = NoMeaning("only with auth-type, which is refused")
_REGEX: Final = "paths are matched by Exact, Prefix, or the wildcards * and ?"
_ADDRESSES: Final = "addresses come from the cluster's transit network"
TARGET_GROUP: Final[Mapping[str, Meaning]] = {
    "target-type": Served("ip, the default; instance is refused"),
    "backend-protocol": Served("HTTP (the default) or HTTPS"),
    "backend-protocol-version": Served("HTTP1, the default; HTTP2 and GRPC are refused"),
    "target-group-attributes": Served("see the attributes"),
    "healthcheck-port": Served("traffic-port (the default), a number, or the Service port's name"),
    "healthcheck-protocol": Served("HTTP (the default) or HTTPS"),
    "healthcheck-path": Served("/ by default"),
    "healthcheck-interval-seconds": Served("5 to 300, 15 by default"),
    "healthcheck-timeout-seconds": Served("2 to 120, 5 by default; less than the interval"),
    "healthy-threshold-count": Served("2 to 10, 2 by default"),
    "unhealthy-threshold-count": Served("2 to 10, 2 by default"),
    "success-codes": Served("200 by default; codes and ranges, joined by commas"),
}
"""Annotations that a Service may have as well; the Service's override the Ingress's."""
SERVICE: Final[Mapping[str, Meaning]] = {
    **TARGET_GROUP,
    "auth-type": Refused(_AUTH, NONE),
    "auth-idp-cognito": _ONLY_AUTH,
    "auth-idp-oidc": _ONLY_AUTH,
    "auth-on-unauthenticated-request": _ONLY_AUTH,
    "auth-scope": _ONLY_AUTH,
    "auth-session-cookie": _ONLY_AUTH,
    "auth-session-timeout": _ONLY_AUTH,
    "multi-cluster-target-group": Refused("targets are pods of this cluster alone", OFF),
    "tags": NoMeaning("nothing has tags"),
    "target-node-labels": NoMeaning("only with instance targets, which are refused"),
}
"""Annotations that apply on a Service that is an Ingress's backend."""
INGRESS: Final[Mapping[str, Meaning]] = {
    **SERVICE,
    "scheme": Served("internal (the default) or internet-facing"),
    "listen-ports": Served('[{"HTTP": 80}, {"HTTPS": 443}]; 443 with certificates, else 80'),
    "group.name": Served("Ingresses that share a load balancer"),
    "group.order": Served("-1000 to 1000, 0 by default"),
    "ssl-redirect": Served("an HTTPS port of the group's listen-ports"),
    "inbound-cidrs": Served("IPv4 networks that may connect"),
    "ssl-policy": Served("TLS 1.3 alone for policies …TLS13-1-3…; TLS 1.2 or newer for all others"),
    "load-balancer-attributes": Served("see the attributes"),
    "actions.": Served("forward with weights, redirect, fixed-response"),
    "conditions.": Served(
        "host-header, path-pattern, http-request-method, query-string, source-ip, http-header"
    ),
    "transforms.": Refused("requests reach targets with the host and path that they have"),
    "use-regex-path-match": Refused(_REGEX, OFF),
    "certificate-arn": Refused(_CERTIFICATES),
    "create-acm-cert": Refused(_CERTIFICATES, OFF),
    "acm-pca-arn": Refused(_CERTIFICATES),
    "mutual-authentication": Refused("certificates of clients are not verified"),
    "jwt-validation": Refused(_AUTH),
    "wafv2-acl-arn": Refused(_WAF, NONE),
    "wafv2-acl-name": Refused(_WAF, NONE),
    "waf-acl-id": Refused(_WAF, NONE),
    "web-acl-id": Refused(_WAF, NONE),
    "shield-advanced-protection": Refused("there is no protection of this kind", OFF),
    "security-groups": Refused("write inbound-cidrs"),
    "security-group-prefix-lists": Refused("write inbound-cidrs"),
    "manage-backend-security-group-rules": NoMeaning("load balancers have no security groups"),
    "listener-attributes.": Refused("headers of requests and responses are not rewritten"),
    "target-control-port.": Refused("targets are chosen by load-balancing algorithm alone"),
    "dry-run-plan": Refused("a change is served at once", OFF),
    "ip-address-type": NoMeaning("there is IPv4 alone"),
    "subnets": NoMeaning("a load balancer has one address, outside all subnets"),
    "customer-owned-ipv4-pool": NoMeaning(_ADDRESSES),
    "ipam-ipv4-pool-id": NoMeaning(_ADDRESSES),
    "load-balancer-name": NoMeaning("names follow from namespace and name, or the group"),
    "minimum-load-balancer-capacity": NoMeaning("no capacity is reserved"),
    "enable-frontend-nlb": Refused(_NLB, OFF),
    "frontend-nlb-": _ONLY_NLB,
}
"""All annotations of Ingresses."""
