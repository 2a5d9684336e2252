"""Which address, number or name a thing has. Pure: what is taken comes in as an argument.

Allocation starts at a place derived from the asker's name and probes upwards from there. So a
controller that dies between choosing and recording chooses the same again, and an address that was
just given back is unlikely to be handed out at once, while connections to its last holder linger.
"""

import hashlib
from collections.abc import Container, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from monopod.api import keys
from monopod.network.errors import AddressesExhaustedError

MANAGEMENT: Final = IPv4Network("100.64.0.0/11")
"""Where the management addresses of all machines come from."""
MANAGEMENT_GATEWAY: Final = IPv4Address("100.64.0.1")
"""The router's address on every machine's link."""
GATEWAY_MAC: Final = "02:6d:00:00:00:01"
"""The router's end of every machine's link."""
SERVICES: Final = IPv4Network("10.100.0.0/16")
"""Cluster addresses of services."""
CLUSTER_DNS: Final = IPv4Address("10.100.0.10")
TRANSITS: Final = IPv4Network("100.127.0.0/16")
"""Each cluster of a host takes a /24 of it to connect host, router and control plane."""
LINK_LOCAL: Final = IPv4Network("169.254.0.0/16")
"""Holds the addresses that clouds serve instance metadata at; Fargate pods reach none of them."""

_NODE_BLOCK_BITS: Final = 24
"""Of the addresses that the pods of an ordinary node share."""
_MACHINES_PER_HOST: Final = 1 << 16
"""Addresses beyond are not handed out: a VMM's uid has room for so many machines of a cluster."""
_UIDS: Final = 1_000_000_000
_RESERVED_AT_START: Final = 4
"""AWS keeps a subnet's first four addresses and its last one (VPC user guide, subnet sizing)."""


def _start(seed: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) % size


def _allocate(
    network: IPv4Network, first: int, end: int, used: Container[IPv4Address], seed: str
) -> IPv4Address:
    size = end - first
    if size > 0:
        start = _start(seed, size)
        base = network.network_address + first
        for step in range(size):
            address = base + (start + step) % size
            if address not in used:
                return address
    raise AddressesExhaustedError(f"no free address left in {network}")


def allocate_management(used: Container[IPv4Address], seed: str) -> IPv4Address:
    """A management address for the machine named ``seed``.

    Raises:
        AddressesExhaustedError: All are taken.
    """
    return _allocate(MANAGEMENT, 2, _MACHINES_PER_HOST, used, seed)


def allocate_pod(subnet: IPv4Network, used: Container[IPv4Address], seed: str) -> IPv4Address:
    """An address of ``subnet`` for the pod of the machine named ``seed``.

    Raises:
        AddressesExhaustedError: All are taken.
    """
    return _allocate(subnet, _RESERVED_AT_START, subnet.num_addresses - 1, used, seed)


def free_block(blocks: Iterable[str], taken: Iterable[str]) -> str | None:
    """Return the last /24 of these blocks that overlaps nothing; nothing if there is none.

    From the end: subnets are laid out from the beginning.
    """
    used = [IPv4Network(each) for each in taken]
    for block in map(IPv4Network, blocks):
        if block.prefixlen > _NODE_BLOCK_BITS:
            continue
        for number in reversed(range(1 << (_NODE_BLOCK_BITS - block.prefixlen))):
            found = IPv4Network((int(block.network_address) + (number << 8), _NODE_BLOCK_BITS))
            if not any(found.overlaps(each) for each in used):
                return str(found)
    return None


def is_assignable(subnet: IPv4Network, address: IPv4Address) -> bool:
    """Whether a pod can have this address of the subnet."""
    offset = int(address) - int(subnet.network_address)
    return _RESERVED_AT_START <= offset < subnet.num_addresses - 1


def available(subnet: IPv4Network, used: Iterable[IPv4Address]) -> int:
    """How many addresses of the subnet are left."""
    size = max(0, subnet.num_addresses - 1 - _RESERVED_AT_START)
    return size - sum(1 for address in set(used) if is_assignable(subnet, address))


def guest_mac(management: IPv4Address) -> str:
    """The MAC address of the guest that has this management address."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x6d" + management.packed)


def vmm_uid(instance: str, management: IPv4Address) -> int:
    """Numeric user and group of the VMM of the machine that has this management address.

    Args:
        instance: Six hexadecimal digits, ``Settings.instance``.
        management: Of the machine.

    Raises:
        ValueError: The address is none that ``allocate_management`` hands out.
    """
    offset = int(management) - int(MANAGEMENT.network_address)
    if not 0 < offset < _MACHINES_PER_HOST:
        raise ValueError(f"{management} is not a machine's management address")
    return _UIDS + _MACHINES_PER_HOST * int(instance[:3], 16) + offset


def host_name(pod: IPv4Address, region: str) -> str:
    """The name AWS's resolver knows an address by; the node's ``kubernetes.io/hostname``."""
    return f"ip-{str(pod).replace('.', '-')}.{region}.compute.internal"


def node_name(pod: IPv4Address, region: str) -> str:
    """The name of the node that runs the pod with this address."""
    return keys.NODE_PREFIX + host_name(pod, region).removeprefix("ip-")


def balancer_host_name(name: str, address: IPv4Address, region: str) -> str:
    """The name of a load balancer, which the VPC's resolver needs nothing else to resolve.

    Args:
        name: Its own: lower-case letters, digits and dashes.
        address: Where it listens.
        region: The region in its name.
    """
    return f"{name}-{str(address).replace('.', '-')}.elb.{region}.compute.internal"


def resolver(vpc: IPv4Network) -> IPv4Address:
    """The VPC's own DNS resolver: base address plus two, as in AWS."""
    return vpc.network_address + 2


def transit_network(number: int) -> IPv4Network:
    """The /24 that the cluster with this transit number has to itself.

    Raises:
        ValueError: The number is not one from 0 to 255.
    """
    if not 0 <= number < 256:
        raise ValueError(f"no transit network has the number {number}")
    return IPv4Network((int(TRANSITS.network_address) + (number << 8), 24))


def free_transit(used: Iterable[IPv4Network]) -> int:
    """The lowest N whose 100.127.N.0/24 overlaps none of the networks in use.

    Raises:
        AddressesExhaustedError: There is none.
    """
    taken = list(used)
    for number, network in enumerate(TRANSITS.subnets(new_prefix=24)):
        if not any(network.overlaps(other) for other in taken):
            return number
    raise AddressesExhaustedError(f"every /24 of {TRANSITS} is in use on this host")
