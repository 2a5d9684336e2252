"""Allocates a machine's addresses, which determine its node's name."""

from ipaddress import IPv4Network
from typing import Final

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, nodes
from monopod.controllers.microvm.context import Desk, MissingGroundError
from monopod.node.net.errors import AddressesExhaustedError

ALLOCATED: Final = "Allocated"
SUBNET_EXHAUSTED: Final = "SubnetExhausted"
SUBNET_NOT_FOUND: Final = "SubnetNotFound"


async def allocate(desk: Desk, machine: MicroVM) -> MicroVM:
    """Record a machine's addresses in its status, or why it has none."""
    try:
        subnet = desk.ground.subnet(machine)
        block = IPv4Network(machine.spec.podCIDR or subnet.spec.cidrBlock)
        chosen = desk.addresses.allocate(machine, block)
    except MissingGroundError as error:
        return await _none(desk, machine, SUBNET_NOT_FOUND, str(error))
    except AddressesExhaustedError as error:
        why = f"subnet {machine.spec.subnet}: {error}"
        return await _none(desk, machine, SUBNET_EXHAUSTED, why)
    whose = f"block {block}" if machine.spec.podCIDR else f"subnet {machine.spec.subnet}"
    message = f"{chosen.pod} of {whose}"
    return await desk.records.status(
        machine,
        conditions.changed(conditions.ADDRESSED, True, ALLOCATED, message),
        managementAddress=str(chosen.management),
        podAddress=str(chosen.pod),
        nodeName=nodes.name_of(machine, chosen.pod, desk.surroundings.region),
    )


async def _none(desk: Desk, machine: MicroVM, reason: str, why: str) -> MicroVM:
    desk.voice.no_address(machine, reason, why)
    return await desk.records.status(
        machine, conditions.changed(conditions.ADDRESSED, False, reason, why)
    )
