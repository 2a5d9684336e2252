"""Configurations of kube-proxy and CoreDNS in the router. Pure.

kube-proxy (nftables mode) translates services' addresses for all machines; CoreDNS is the VPC's
resolver and the cluster's DNS. Both run in the router's namespace and need only their kubeconfigs.
"""

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any, Final

from monopod.node.net.cluster_network import (
    DNS_METRICS_PORT,
    KUBE_PROXY_METRICS_PORT,
    LINK_PREFIX,
    ClusterNetwork,
)

KUBE_PROXY_HEALTH: Final = "127.0.0.1:10256"
"""``/livez`` there reports whether rules are up to date. (``/healthz`` also requires a Node object
of kube-proxy's name, which does not exist.)"""
DNS_HEALTH: Final = "127.0.0.1:8080"
"""``/health`` there answers while CoreDNS is alive."""
DNS_READY: Final = "127.0.0.1:8181"
"""``/ready`` there answers once CoreDNS has synced the cluster's services."""

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
_ADDRESS_TTL_S: Final = 60


def kube_proxy_configuration(
    plan: ClusterNetwork, kubeconfig: Path, oom_score_adjustment: int = 0
) -> dict[str, Any]:
    """Return kube-proxy's configuration file (``--config``) as an object."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "nftables",
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        # All traffic from machines' links is pod traffic, whichever block of the VPC it is in.
        "detectLocalMode": "InterfaceNamePrefix",
        "detectLocal": {"interfaceNamePrefix": LINK_PREFIX},
        # No Node has this name: the router is not a node.
        "hostnameOverride": plan.router_name,
        "bindAddress": str(plan.router_outer.ip),
        "bindAddressHardFail": True,
        "nodePortAddresses": [f"{plan.router_outer.ip}/32"],
        "healthzBindAddress": KUBE_PROXY_HEALTH,
        "metricsBindAddress": f"{plan.router_inner.ip}:{KUBE_PROXY_METRICS_PORT}",
        # Only the host's namespace may set these.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        # It would set its own otherwise.
        "oomScoreAdj": oom_score_adjustment,
        "logging": {"format": "json"},
    }


def corefile(
    plan: ClusterNetwork,
    region: str,
    kubeconfig: Path,
    upstreams: Sequence[IPv4Address],
    cluster_domain: str = "cluster.local",
) -> str:
    """Return CoreDNS's configuration file.

    Args:
        plan: The network whose addresses it listens on.
        region: The region in node names.
        kubeconfig: Kubeconfig of CoreDNS's identity.
        upstreams: The host's resolvers; without any, external names are NXDOMAIN.
        cluster_domain: The zone of services and pods.
    """
    zone = f"{region}.compute.internal"
    name = rf"^(fargate-)?ip-{'-'.join([_OCTET] * 4)}\.{re.escape(zone)}\.$"
    answer = "{{ .Name }} " + f"{_ADDRESS_TTL_S} IN A " + _dotted(range(2, 6))
    prefix = str(plan.transit_network.network_address).rpartition(".")[0]
    balancer = rf"^[a-z0-9-]+-{prefix.replace('.', '-')}-{_OCTET}\.elb\.{re.escape(zone)}\.$"
    balancer_answer = "{{ .Name }} " + f"{_ADDRESS_TTL_S} IN A {prefix}.{{{{ index .Match 1 }}}}"
    soa = f"{zone}. {_ADDRESS_TTL_S} IN SOA ns.{zone}. hostmaster.{zone}. 1 7200 1800 86400 60"
    if upstreams:
        forward = (
            f"forward . {' '.join(map(str, upstreams))} {{\n        max_concurrent 1000\n    }}"
        )
        reverse = f"        fallthrough in-addr.arpa ip6.arpa\n    }}\n    {forward}"
    else:
        forward = "template ANY ANY {\n        rcode NXDOMAIN\n    }"
        reverse = "    }"
    return f"""\
(common) {{
    bind {plan.resolver}
    errors
    prometheus {plan.router_inner.ip}:{DNS_METRICS_PORT}
}}

# For pods of VPCs whose enableDnsHostnames is off: nodes have no names.
(nameless) {{
    bind {plan.resolver_without_names}
    errors
    prometheus {plan.router_inner.ip}:{DNS_METRICS_PORT}
}}

# Services and pods, and the names of their addresses.
{cluster_domain} in-addr.arpa ip6.arpa {{
    import common
    health {DNS_HEALTH}
    ready {DNS_READY}
    kubernetes {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 30
{reverse}
    loadbalance
}}

# Nodes, addresses and load balancers, as AWS's resolver names them.
{zone} {{
    import common
    template IN A {zone} {{
        match {name}
        answer "{answer}"
        fallthrough
    }}
    template IN A {zone} {{
        match {balancer}
        answer "{balancer_answer}"
        fallthrough
    }}
    template IN ANY {zone} {{
        match {name} {balancer}
        rcode NOERROR
        authority "{soa}"
        fallthrough
    }}
    template IN ANY {zone} {{
        rcode NXDOMAIN
        authority "{soa}"
    }}
}}

{zone} {{
    import nameless
    template IN ANY {zone} {{
        rcode NXDOMAIN
        authority "{soa}"
    }}
}}

. {{
    import nameless
    forward . {plan.resolver}
}}

# Everything else.
. {{
    import common
    {forward}
    cache 30
}}
"""


def _dotted(groups: range) -> str:
    return ".".join(f"{{{{ index .Match {group} }}}}" for group in groups)


def resolvers(resolv_conf: str) -> list[IPv4Address]:
    """Return the non-loopback name servers of a ``resolv.conf``, which the router can reach."""
    found: list[IPv4Address] = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = IPv4Address(words[1])
            except AddressValueError:
                continue
            if not address.is_loopback and address not in found:
                found.append(address)
    return found


def host_resolvers(
    files: Sequence[Path] = (
        Path("/etc/resolv.conf"),
        Path("/run/systemd/resolve/resolv.conf"),
    ),
) -> list[IPv4Address]:
    """Return the host's name servers, from the first of these files that has any.

    On a host with a local stub resolver, the second file has its upstreams.
    """
    for file in files:
        try:
            found = resolvers(file.read_text())
        except OSError:
            continue
        if found:
            return found
    return []
