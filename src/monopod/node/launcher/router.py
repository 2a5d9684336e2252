"""The router that a launcher pod's network namespace becomes, as commands of standard tools. Pure.

The pod's address stays on the interface that the CNI plug-in made, which so answers ARP and keeps
its routes. Rules before the table ``local`` send packets for the address on to the machine's pod.
The machine's management traffic leaves masqueraded as the same address, whose port 10250 leads to
the kubelet, as on Fargate.

Forwarding is a property of each interface here, set by netlink: ``/proc/sys`` is read-only.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from monopod.node.launcher.plan import LauncherPlan
from monopod.node.net import addresses, nft
from monopod.node.net.cluster_network import KUBELET_PORT, LINK_GROUP
from monopod.node.net.nft import (
    ACCEPT,
    ARP,
    DROP,
    MASQUERADE,
    Table,
    daddr,
    dport,
    iif,
    match,
    oif,
    saddr,
)
from monopod.node.net.rules import FILTER, MANGLE, RAW, SOURCE_NAT, accept_known
from monopod.node.vmm.driver import LINK_MTU, LinkKind

MANAGEMENT: Final = "management"
"""The router's end of the management link."""
POD: Final = "pod"
"""The router's end of the pod's link."""
MACHINE_ENDS: Final = ("vmm-management", "vmm-pod")
"""The machine's ends of veth pairs, management first: packet sockets read and write them."""
POLICIES: Final = "monopod_policies"
"""Table of the pod's network policies, which is replaced as they change."""
POLICIES_PRIORITY: Final = FILTER + 3
_TABLE: Final = "monopod"
_TO_POD: Final = 0x71
"""Mark of packets for the machine's pod, and number of the routing table that has its route. It
differs from the marks of ``monopod.node.net.marks``, which the rules of policies know."""
_DESTINATION_NAT: Final = -100


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface that the CNI plug-in made."""

    name: str
    address: IPv4Address


def links(plan: LauncherPlan, uplink: Uplink) -> str:
    """Return the batch for ``ip`` that makes the links, routes and routing rules.

    Tap devices exist already: who made them has their descriptors.
    """
    management = plan.machine.management_address
    made = _tap if plan.link_kind is LinkKind.TAP else _veth
    return "\n".join(
        (
            *made(MANAGEMENT, MACHINE_ENDS[0]),
            *made(POD, MACHINE_ENDS[1]),
            *_router_end(MANAGEMENT, management),
            *_router_end(POD, uplink.address),
            f"link set {POD} group {LINK_GROUP}",
            f"route add {management}/32 dev {MANAGEMENT} scope link",
            f"route add {uplink.address}/32 dev {POD} scope link table {_TO_POD}",
            # What this namespace itself sends to the pod: errors of ICMP.
            f"rule add pref 10 iif lo to {uplink.address} lookup {_TO_POD}",
            f"rule add pref 11 fwmark {_TO_POD} to {uplink.address} lookup {_TO_POD}",
            "rule add pref 100 lookup local",
            "rule del pref 0",
            "",
        )
    )


def _veth(router: str, machine: str) -> tuple[str, ...]:
    mtu = f"mtu {LINK_MTU}"
    return (
        f"link add {router} address {addresses.GATEWAY_MAC} {mtu}"
        f" type veth peer name {machine} {mtu}",
        # The kernel must send nothing in the machine's name.
        f"link set {machine} addrgenmode none",
        f"link set {machine} arp off",
        f"link set {machine} up",
    )


def _tap(router: str, _: str) -> tuple[str, ...]:
    """Return the commands for a device that its descriptor has made."""
    return (f"link set {router} address {addresses.GATEWAY_MAC} mtu {LINK_MTU}",)


def _router_end(router: str, address: IPv4Address) -> tuple[str, ...]:
    return (
        f"link set {router} addrgenmode none",
        f"link set {router} up",
        f"address add {addresses.MANAGEMENT_GATEWAY}/32 dev {router}",
        f"neigh replace {address} lladdr {addresses.guest_mac(address)} dev {router} nud permanent",
    )


def rules(plan: LauncherPlan, uplink: Uplink) -> list[nft.Json]:
    """Return the commands for ``nft -j`` that make the rules, one transaction."""
    table = Table(_TABLE)
    management = plan.machine.management_address
    inner = match(nft.meta("iifname"), nft.one_of((MANAGEMENT, POD)))
    table.base_chain("antispoof", "prerouting", RAW)
    # What the router's ends send is for the packet sockets alone.
    table.rule("antispoof", match(nft.meta("iifname"), nft.one_of(MACHINE_ENDS)), DROP)
    table.rule("antispoof", inner, match(nft.meta("nfproto"), "ipv6"), DROP)
    table.rule("antispoof", inner, daddr(addresses.LINK_LOCAL), DROP)
    for name, address in ((MANAGEMENT, management), (POD, uplink.address)):
        forged = match(nft.header("ip", "saddr"), str(address), op="!=")
        table.rule("antispoof", iif(name), forged, DROP)

    table.base_chain("mark", "prerouting", MANGLE)
    from_outside = match(nft.meta("iifname"), nft.one_of((uplink.name, MANAGEMENT)))
    table.rule("mark", from_outside, daddr(uplink.address), nft.set_mark(_TO_POD))
    # So is the source of what it sends: for the check of sources it would be this namespace's.
    table.rule("mark", iif(POD), nft.set_mark(_TO_POD))

    table.base_chain("kubelet", "prerouting", _DESTINATION_NAT, kind="nat")
    to_kubelet = daddr(uplink.address), dport("tcp", KUBELET_PORT)
    table.rule("kubelet", iif(uplink.name), *to_kubelet, nft.destination_nat(management))

    table.base_chain("input", "input", FILTER, policy="drop")
    accept_known(table, "input")
    table.rule("input", iif("lo"), ACCEPT)

    table.base_chain("forward", "forward", FILTER, policy="drop")
    accept_known(table, "forward")
    translated = match(nft.ct("status"), "dnat", op="in")
    table.rule("forward", iif(uplink.name), oif(MANAGEMENT), translated, ACCEPT)
    table.rule("forward", iif(uplink.name), oif(POD), ACCEPT)
    # A kubelet probes its pod.
    table.rule("forward", iif(MANAGEMENT), oif(POD), ACCEPT)
    for name in (MANAGEMENT, POD):
        table.rule("forward", iif(name), oif(uplink.name), ACCEPT)

    # A machine's links carry more than the hosts' network does. Without it each connection of two
    # machines would send too large segments first, and wait for an error of ICMP, which the
    # kernel limits in number.
    table.base_chain("segments", "forward", MANGLE)
    table.rule("segments", match(nft.header("tcp", "flags"), "syn", op="in"), nft.fit_segments())

    table.base_chain("masquerade", "postrouting", SOURCE_NAT, kind="nat")
    table.rule("masquerade", oif(uplink.name), saddr(management), MASQUERADE)

    claims = Table(_TABLE, ARP)
    claims.base_chain("input", "input", 0)
    claims.rule("input", inner, DROP)
    return table.commands + claims.commands


def closed() -> list[nft.Json]:
    """Return the table of policies until the first are written: the kubelet's probes pass alone.

    The commands fail, and change nothing, if it exists: policies may be written at any time.
    """
    table = Table(POLICIES)
    table.base_chain("policies", "forward", POLICIES_PRIORITY)
    table.rule("policies", match(nft.ct("state"), "established", op="in"), ACCEPT)
    table.rule("policies", iif(POD), DROP)
    probe = match(nft.meta("iifname"), MANAGEMENT, op="!=")
    table.rule("policies", oif(POD), probe, DROP)
    return table.commands_if_missing
