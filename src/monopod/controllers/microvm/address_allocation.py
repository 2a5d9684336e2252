"""Allocates a machine's addresses, which determine its node's name."""

from ipaddress import IPv4Address
from typing import Final

from monopod.api.constants import (
    DRIVER_UNAVAILABLE,
    PLACEMENT_LOST,
    PLACEMENT_PENDING,
    PLACING,
    SIZE_UNSUPPORTED,
)
from monopod.api.resources import MicroVM
from monopod.controllers.microvm import conditions, nodes, termination
from monopod.controllers.microvm.actions import MarkTerminated
from monopod.controllers.microvm.context import Context, SubnetNotFoundError
from monopod.controllers.microvm.ipam import pod_block
from monopod.fargate.sizing import Size
from monopod.kube import name_of, uid_of
from monopod.node.net.errors import AddressesExhaustedError
from monopod.node.provider import (
    DriverUnavailableError,
    MachineExit,
    PlacementLostError,
    PlacementPendingError,
    PlacementRequest,
    ProviderError,
    SizeUnsupportedError,
)

ALLOCATED: Final = "Allocated"
PLACEMENT_FAILED: Final = "PlacementFailed"
SUBNET_EXHAUSTED: Final = "SubnetExhausted"
SUBNET_NOT_FOUND: Final = "SubnetNotFound"


async def allocate(context: Context, machine: MicroVM) -> MicroVM:
    """Record a machine's addresses in its status, or why it has none."""
    try:
        subnet = context.subnets.subnet(machine)
        block = pod_block(machine, subnet)
        placed = await _place(context, machine, subnet.spec.availabilityZone)
        if placed is None:
            chosen = context.addresses.allocate(machine, block)
        else:
            chosen = context.addresses.adopt(machine, placed)
    except SubnetNotFoundError as error:
        return await _none(context, machine, SUBNET_NOT_FOUND, str(error))
    except PlacementPendingError as error:
        reason = PLACEMENT_PENDING if error.blocked else PLACING
        return await _none(context, machine, reason, str(error), publish=error.blocked)
    except PlacementLostError as error:
        lost = MachineExit(name_of(machine), PLACEMENT_LOST, str(error))
        return await termination.mark_terminated(context, machine, MarkTerminated(lost))
    except ProviderError as error:
        return await _none(context, machine, _reason(error), str(error))
    except AddressesExhaustedError as error:
        why = f"subnet {machine.spec.subnet}: {error}"
        return await _none(context, machine, SUBNET_EXHAUSTED, why)
    host = context.provider.host(name_of(machine))
    whose = f"block {block}" if machine.is_worker_node else f"subnet {machine.spec.subnet}"
    message = f"{chosen.pod} of {f'node {host}' if placed else whose}"
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
        host=host,
    )


def _reason(error: ProviderError) -> str:
    match error:
        case DriverUnavailableError():
            return DRIVER_UNAVAILABLE
        case SizeUnsupportedError():
            return SIZE_UNSUPPORTED
        case _:
            return PLACEMENT_FAILED


async def _place(context: Context, machine: MicroVM, zone: str) -> IPv4Address | None:
    """Return the address that a machine's place has. None means that none was decided there."""
    spec = machine.spec
    return await context.provider.place(
        PlacementRequest(
            name=name_of(machine),
            uid=uid_of(machine),
            size=Size.of(spec),
            storage_gib=spec.ephemeralStorageGiB,
            management_address=context.addresses.management(machine),
            namespace=spec.podRef.namespace,
            zone=zone,
            driver=spec.driver,
        )
    )


async def _none(
    context: Context, machine: MicroVM, reason: str, why: str, *, publish: bool = True
) -> MicroVM:
    if publish:
        context.events.no_address(machine, reason, why)
    return await context.status.status(
        machine, conditions.changed(conditions.ADDRESSED, False, reason, why)
    )
