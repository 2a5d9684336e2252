"""Allocates a machine's addresses, which determine its node's name."""

from typing import Final

from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, nodes
from monopod.controllers.microvm.context import Context, SubnetNotFoundError
from monopod.controllers.microvm.ipam import pod_block
from monopod.node.net.errors import AddressesExhaustedError

ALLOCATED: Final = "Allocated"
SUBNET_EXHAUSTED: Final = "SubnetExhausted"
SUBNET_NOT_FOUND: Final = "SubnetNotFound"


async def allocate(context: Context, machine: MicroVM) -> MicroVM:
    """Record a machine's addresses in its status, or why it has none."""
    try:
        subnet = context.subnets.subnet(machine)
        block = pod_block(machine, subnet)
        chosen = context.addresses.allocate(machine, block)
    except SubnetNotFoundError as error:
        return await _none(context, machine, SUBNET_NOT_FOUND, str(error))
    except AddressesExhaustedError as error:
        why = f"subnet {machine.spec.subnet}: {error}"
        return await _none(context, machine, SUBNET_EXHAUSTED, why)
    whose = f"block {block}" if machine.is_worker_node else f"subnet {machine.spec.subnet}"
    message = f"{chosen.pod} of {whose}"
    region = context.endpoint.region
    until = context.resting.until(chosen.pod)
    name = nodes.new_name(machine, chosen.pod, region, resting=until is not None)
    if until is not None:
        message += (
            f"; its node is {name}, since certificates of an earlier node of this address are"
            f" valid until {until:%Y-%m-%dT%H:%M:%SZ}"
        )
    return await context.status.status(
        machine,
        conditions.changed(conditions.ADDRESSED, True, ALLOCATED, message),
        managementAddress=str(chosen.management),
        podAddress=str(chosen.pod),
        nodeName=name,
    )


async def _none(context: Context, machine: MicroVM, reason: str, why: str) -> MicroVM:
    context.events.no_address(machine, reason, why)
    return await context.status.status(
        machine, conditions.changed(conditions.ADDRESSED, False, reason, why)
    )
