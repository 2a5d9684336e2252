"""The control plane's namespace: its link to this machine, and the routing between hosts."""

from typing import Final

from monopod.node.net.namespaces import Namespace
from monopod.util.process import run
from tests.framework.plain_cluster.addresses import LINK_PREFIX, Addresses

_SYSCTLS: Final = {
    "ipv4/ip_forward": "1",
    # What hosts exchange leaves by the link that it came from, on purpose: no redirects.
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
}


async def create(addresses: Addresses, hosts: int) -> Namespace:
    """Create the namespace, whose files are those of ``ip netns``."""
    namespace = Namespace.named(addresses.namespace)
    namespace.create()
    namespace.set_sysctls(_SYSCTLS)
    link, uplink = addresses.name, "uplink"
    await _ip(f"link add {link} type veth peer name {uplink} netns {addresses.namespace}")
    await _ip(
        f"address add {addresses.machine}/30 dev {link}",
        f"link set {link} up",
        f"route add {addresses.network} via {addresses.control} dev {link}",
    )
    await _ip(
        "link set lo up",
        f"address add {addresses.dns}/32 dev lo",
        f"address add {addresses.control}/30 dev {uplink}",
        f"link set {uplink} up",
        f"route add default via {addresses.machine}",
        # What is sent to a host that is gone is lost, as it would be anywhere, and not refused.
        "link add void type veth peer name nowhere",
        "link set nowhere up",
        "link set void up arp off",
        f"route add {addresses.network} dev void src {addresses.control}",
        namespace=addresses.namespace,
    )
    await nft(namespace, _masquerading(addresses, hosts))
    return namespace


async def isolate_control_plane(addresses: Addresses) -> None:
    """Have the control plane open no connection to hosts and their pods; it answers theirs."""
    await nft(
        Namespace.named(addresses.namespace),
        f"""
        table inet isolation {{
            chain output {{
                type filter hook output priority 0;
                oifname "{LINK_PREFIX}*" ct state new reject
            }}
        }}""",
    )


def _masquerading(addresses: Addresses, hosts: int) -> str:
    """Return the rules without which what a service answers would not come back this way.

    They are for hosts themselves, and for a pod that a service leads to itself: kube-proxy does the
    latter only for pods of the node that it runs on.
    """
    pods = (each for index in range(hosts) for each in addresses.pods_of(index + 1).hosts())
    selves = ", ".join(f"{each} . {each}" for each in pods)
    return f"""
        table ip hosts {{
            set selves {{
                type ipv4_addr . ipv4_addr; elements = {{ {selves} }}
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat - 10;
                ip saddr {addresses.nodes} oifname "{LINK_PREFIX}*" ct status dnat masquerade
                ct status dnat ip saddr . ip daddr @selves masquerade
            }}
        }}"""


async def route_by_gateway(host: Namespace, addresses: Addresses, index: int) -> None:
    """Have what a host's pods send pass the control namespace, where services are translated.

    Without it, the answer of a pod to another one of its host would not be translated back. What
    the host itself sends, such as its kubelet's probes, goes directly to its pods.
    """
    table, pods = 100, addresses.pods_of(index)
    await _ip(
        f"route add default via {addresses.gateway} dev eth0 onlink table {table}",
        "rule add iif eth0 lookup main priority 10",
        "rule add iif lo lookup main priority 10",
        f"rule add from {pods} lookup {table} priority 11",
        namespace=str(host.path),
    )


async def nft(namespace: Namespace, rules: str) -> None:
    """Apply rules in a namespace."""
    await run("nsenter", f"--net={namespace.path}", "nft", "-f", "-", stdin=rules.encode())


async def _ip(*commands: str, namespace: str = "") -> None:
    enter: tuple[str, ...] = ()
    if namespace:
        path = namespace if "/" in namespace else Namespace.named(namespace).path
        enter = ("nsenter", f"--net={path}")
    await run(*enter, "ip", "-batch", "-", stdin="\n".join(commands).encode())
