"""The webhook of VPCs and subnets; it lists the existing objects each time, as changes are rare.

It fails closed: it reviews every creation, update and deletion. Lists show an allowed change only
later, so it remembers recent ones: of two concurrent requests, the second is checked against the
first.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec
from lightkube.resources.core_v1 import Node

from monopod.api import keys
from monopod.api.resources import MicroVM, Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.api.security_groups import SecurityGroup
from monopod.kube import Client, KubeError, name_of
from monopod.webhooks import address_space
from monopod.webhooks.address_space import PendingChange, Space
from monopod.webhooks.review import (
    Denial,
    Request,
    decoding_errors_as_bad_review,
    read_request,
    write_answer,
)

_DELETE: Final = "DELETE"
_READ_TIMEOUT_S: Final = 3.0
"""Less than the webhook's timeout at the API server."""
_REMEMBERED_S: Final = 5.0
"""An allowed change is stored within milliseconds, or was rejected elsewhere."""


class _Subnet(msgspec.Struct):
    spec: SubnetSpec


class _Vpc(msgspec.Struct):
    spec: VpcSpec


_subnets: Final = msgspec.json.Decoder(_Subnet)
_vpcs: Final = msgspec.json.Decoder(_Vpc)


class NetworkWebhook:
    """Reviews VPCs and subnets."""

    def __init__(self, client: Client, *, time: Callable[[], float] | None = None) -> None:
        """List objects with this client; ``time`` is a monotonic clock."""
        self._client = client
        self._time = time or (lambda: asyncio.get_running_loop().time())
        self._one_at_a_time = asyncio.Lock()
        self._granted: deque[tuple[float, PendingChange]] = deque()

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a Vpc or a Subnet.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        request = read_request(body)
        if request.kind.group != keys.GROUP or request.kind.kind not in ("Vpc", "Subnet"):
            return write_answer(request.uid)
        with decoding_errors_as_bad_review():
            if _changes_nothing(request):
                return write_answer(request.uid)
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S), self._one_at_a_time:
                space = address_space.expected(await self._space(), self._recent())
                with decoding_errors_as_bad_review():
                    faults = _faults(request, space)
                    if not faults and not request.dryRun:
                        self._granted.append((self._time() + _REMEMBERED_S, _granted(request)))
        except (KubeError, TimeoutError) as error:
            denial = Denial(f"cannot list VPCs, subnets and nodes, try again: {error}")
            return write_answer(request.uid, denial=denial)
        return write_answer(request.uid, denial=Denial("; ".join(faults)) if faults else None)

    def _recent(self) -> list[PendingChange]:
        while self._granted and self._granted[0][0] <= self._time():
            self._granted.popleft()
        return [each for _, each in self._granted]

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
            vpcs={name_of(each): each.spec for each in vpcs.items},
            subnets={name_of(each): each.spec for each in subnets.items},
            groups={name_of(each): each.spec.vpc for each in groups.items},
            machines={name_of(each): each.spec.subnet for each in machines.items},
            nodes={
                name_of(each): each.spec.podCIDR
                for each in nodes.items
                if each.spec and each.spec.podCIDR
            }
            # Worker nodes that are not registered yet.
            | {name_of(each): each.spec.podCIDR for each in machines.items if each.is_worker_node},
        )


def _changes_nothing(request: Request) -> bool:
    """Whether blocks stay as they are; a subnet's always do, by the API server's own rule.

    Existing objects must remain editable even if they are invalid.
    """
    if request.operation != "UPDATE":
        return False
    if request.kind.kind == "Subnet":
        return True
    old, new = _vpcs.decode(request.oldObject), _vpcs.decode(request.object)
    return old.spec.cidrBlocks == new.spec.cidrBlocks


def _granted(request: Request) -> PendingChange:
    if request.operation == _DELETE:
        return PendingChange(request.name, gone=request.kind.kind)
    # With generateName, there is no name yet.
    name = request.name or request.uid
    if request.kind.kind == "Subnet":
        return PendingChange(name, subnet=_subnets.decode(request.object).spec)
    return PendingChange(name, vpc=_vpcs.decode(request.object).spec)


def _faults(request: Request, space: Space) -> tuple[str, ...]:
    name, deleting = request.name, request.operation == _DELETE
    if request.kind.kind == "Subnet":
        if deleting:
            return address_space.subnet_ties(name, space)
        return address_space.subnet_faults(name, _subnets.decode(request.object).spec, space)
    if deleting:
        return address_space.vpc_ties(name, space)
    return address_space.vpc_faults(name, _vpcs.decode(request.object).spec, space)
