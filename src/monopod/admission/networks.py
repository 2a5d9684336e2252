"""The webhook of VPCs and subnets: it reads what there is anew each time, for they are made rarely.

It is asked before every creation, change and deletion, and nothing of the kind happens without it.
"""

import asyncio
from typing import Final

import msgspec
from lightkube.resources.core_v1 import Node

from monopod.admission import address_space
from monopod.admission.address_space import Space
from monopod.admission.review import (
    Denial,
    Request,
    read_request,
    refusing_what_is_none,
    write_answer,
)
from monopod.api import keys
from monopod.api.resources import MicroVM, Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.api.security_groups import SecurityGroup
from monopod.kube import Client, KubeError, meta

_DELETE: Final = "DELETE"
_READ_TIMEOUT_S: Final = 3.0
"""Less than the API server waits for us."""


class _Subnet(msgspec.Struct):
    spec: SubnetSpec


class _Vpc(msgspec.Struct):
    spec: VpcSpec


_subnets: Final = msgspec.json.Decoder(_Subnet)
_vpcs: Final = msgspec.json.Decoder(_Vpc)


class NetworkWebhook:
    """Answers the API server about VPCs and subnets."""

    def __init__(self, client: Client) -> None:
        """Read by this client what there is."""
        self._client = client

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a Vpc or a Subnet.

        Raises:
            BadReviewError: It is none.
        """
        request = read_request(body)
        if request.kind.group != keys.GROUP or request.kind.kind not in ("Vpc", "Subnet"):
            return write_answer(request.uid)
        with refusing_what_is_none():
            if _changes_nothing(request):
                return write_answer(request.uid)
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                space = await self._space()
        except (KubeError, TimeoutError) as error:
            denial = Denial(f"cannot see now what it has to fit beside, try again: {error}")
            return write_answer(request.uid, denial=denial)
        with refusing_what_is_none():
            faults = _faults(request, space)
        return write_answer(request.uid, denial=Denial("; ".join(faults)) if faults else None)

    async def _space(self) -> Space:
        client = self._client
        vpcs, subnets, groups, machines, nodes = await asyncio.gather(
            client.list(Vpc),
            client.list(Subnet),
            client.list(SecurityGroup),
            client.list(MicroVM),
            client.list(Node, labels=f"{keys.COMPUTE_TYPE_KEY}!={keys.COMPUTE_TYPE_FARGATE}"),
        )
        return Space(
            vpcs={meta(each).name or "": each.spec for each in vpcs.items},
            subnets=address_space.subnet_specs(subnets.items),
            groups={meta(each).name or "": each.spec.vpc for each in groups.items},
            machines={meta(each).name or "": each.spec.subnet for each in machines.items},
            nodes={
                meta(each).name or "": each.spec.podCIDR
                for each in nodes.items
                if each.spec and each.spec.podCIDR
            }
            # Those that are on their way.
            | {
                meta(each).name or "": each.spec.podCIDR
                for each in machines.items
                if each.spec.podCIDR
            },
        )


def _changes_nothing(request: Request) -> bool:
    """Whether blocks stay as they are; a subnet's always do, by the API server's own rule.

    What stands has to remain editable even if it should not have come to be.
    """
    if request.operation != "UPDATE":
        return False
    if request.kind.kind == "Subnet":
        return True
    old, new = _vpcs.decode(request.oldObject), _vpcs.decode(request.object)
    return old.spec.cidrBlocks == new.spec.cidrBlocks


def _faults(request: Request, space: Space) -> tuple[str, ...]:
    name, deleting = request.name, request.operation == _DELETE
    if request.kind.kind == "Subnet":
        if deleting:
            return address_space.subnet_ties(name, space)
        return address_space.subnet_faults(name, _subnets.decode(request.object).spec, space)
    if deleting:
        return address_space.vpc_ties(name, space)
    return address_space.vpc_faults(name, _vpcs.decode(request.object).spec, space)
