"""Allocates addresses, uids and names (IPAM). Pure: addresses in use are arguments.

Allocation starts at an offset derived from the name of the requester and probes upwards. A
controller that dies between choosing and recording therefore chooses the same address again, and an
address just released is rarely reused at once, while connections to its last owner linger.
"""

import hashlib
from collections.abc import Container, Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from monopod.api import keys
from monopod.node.net.errors import AddressesExhaustedError

MANAGEMENT: Final = IPv4Network("100.64.0.0/11")
"""The range of all machines' management addresses."""
MANAGEMENT_GATEWAY: Final = IPv4Address("100.64.0.1")
"""The router's address on every machine's link."""
GATEWAY_MAC: Final = "02:6d:00:00:00:01"
"""The router's end of every machine's link."""
SERVICES: Final = IPv4Network("10.100.0.0/16")
"""Cluster addresses of services."""
CLUSTER_API: Final = IPv4Address("10.100.0.1")
"""Cluster address of the service ``kubernetes``."""
CLUSTER_DNS: Final = IPv4Address("10.100.0.10")
NODE_PORTS: Final = (30000, 32767)
"""Ports that NodePort services get, by the API server's default."""
TRANSITS: Final = IPv4Network("100.127.0.0/16")
"""Each cluster of a host takes one /24 of it to connect host, router and control plane."""
LINK_LOCAL: Final = IPv4Network("169.254.0.0/16")
"""Contains clouds' instance metadata addresses, none of which Fargate pods reach."""

_NODE_BLOCK_BITS: Final = 24
"""Prefix length of a worker node's pod CIDR."""
_MACHINES_PER_HOST: Final = 1 << 16
"""Addresses beyond are never allocated: a VMM's uid encodes this many machines per cluster."""
_UIDS: Final = 1_000_000_000
_RESERVED_AT_START: Final = 4
"""AWS keeps a subnet's first four addresses and its last one (VPC user guide, subnet sizing)."""


def parse_address(text: str | None) -> IPv4Address | None:
    """Read an address of an object's status. None means that it has none, or no IPv4 address."""
    try:
        return IPv4Address(text or "")
    except ValueError:
        return None


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
    """Allocate a management address for the machine named ``seed``.

    Raises:
        AddressesExhaustedError: All are taken.
    """
    return _allocate(MANAGEMENT, 2, _MACHINES_PER_HOST, used, seed)


def allocate_pod(subnet: IPv4Network, used: Container[IPv4Address], seed: str) -> IPv4Address:
    """Allocate an address of ``subnet`` for the pod of the machine named ``seed``.

    Raises:
        AddressesExhaustedError: All are taken.
    """
    return _allocate(subnet, _RESERVED_AT_START, subnet.num_addresses - 1, used, seed)


def free_block(blocks: Iterable[str], taken: Iterable[str]) -> str | None:
    """Return the last /24 of these blocks that overlaps no taken block; None means all are taken.

    It searches from the end, because subnets are laid out from the beginning.
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
    """Whether this address of the subnet may be assigned to a pod."""
    offset = int(address) - int(subnet.network_address)
    return _RESERVED_AT_START <= offset < subnet.num_addresses - 1


def available(subnet: IPv4Network, used: Iterable[IPv4Address]) -> int:
    """Return the number of free addresses of a subnet."""
    size = max(0, subnet.num_addresses - 1 - _RESERVED_AT_START)
    return size - sum(1 for address in set(used) if is_assignable(subnet, address))


def guest_mac(address: IPv4Address) -> str:
    """Return the MAC address of the machine's end of the link with this address."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x6d" + address.packed)


def vmm_uid(instance: str, management: IPv4Address) -> int:
    """Return the uid and gid of the VMM of the machine with this management address.

    Args:
        instance: Six hexadecimal digits, ``Settings.instance``.
        management: The machine's management address.

    Raises:
        ValueError: The address is not one that ``allocate_management`` returns.
    """
    offset = int(management) - int(MANAGEMENT.network_address)
    if not 0 < offset < _MACHINES_PER_HOST:
        raise ValueError(f"{management} is not a machine's management address")
    return _UIDS + _MACHINES_PER_HOST * int(instance[:3], 16) + offset


def host_name(pod: IPv4Address, region: str) -> str:
    """Return an address's DNS name in AWS's resolver; the node's ``kubernetes.io/hostname``."""
    return f"ip-{str(pod).replace('.', '-')}.{region}.compute.internal"


def node_name(pod: IPv4Address, region: str) -> str:
    """Return the name of the node that runs the pod with this address."""
    return keys.NODE_PREFIX + host_name(pod, region).removeprefix("ip-")


def balancer_host_name(name: str, address: IPv4Address, region: str) -> str:
    """Return the DNS name of a load balancer; it encodes the address, so DNS needs no record.

    Args:
        name: The load balancer's name: lower-case letters, digits and dashes.
        address: The address that it listens on.
        region: The region in its name.
    """
    return f"{name}-{str(address).replace('.', '-')}.elb.{region}.compute.internal"


def resolver(vpc: IPv4Network) -> IPv4Address:
    """Return the address of the VPC's DNS resolver: base address plus two, as in AWS."""
    return vpc.network_address + 2


def transit_network(number: int) -> IPv4Network:
    """Return the /24 reserved for the cluster with this transit number.

    Raises:
        ValueError: The number is not in the range 0 to 255.
    """
    if not 0 <= number < 256:
        raise ValueError(f"no transit network has the number {number}")
    return IPv4Network((int(TRANSITS.network_address) + (number << 8), 24))


def free_transit(used: Iterable[IPv4Network]) -> int:
    """Return the lowest N whose 100.127.N.0/24 overlaps none of the networks in use.

    Raises:
        AddressesExhaustedError: Every /24 is in use.
    """
    taken = list(used)
    for number, network in enumerate(TRANSITS.subnets(new_prefix=24)):
        if not any(network.overlaps(other) for other in taken):
            return number
    raise AddressesExhaustedError(f"every /24 of {TRANSITS} is in use on this host")
