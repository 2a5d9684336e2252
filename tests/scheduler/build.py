"""Machines and states for the scheduler's tests."""

from typing import Any

from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.conditions import FALSE, TRUE
from monopod.api.resources import Condition, MicroVM, MicroVMStatus
from monopod.controllers.scheduler.actions import CreateMicroVM
from monopod.controllers.scheduler.decide import State
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership
from monopod.fargate.profiles import KnownRoles
from tests.framework.builders import NODE, NOW, profile, storage, subnet

REGION = Region("local-1", "amd64")


def machine(
    claim: CreateMicroVM, *conditions: Condition, uid: str = "m-1", going: bool = False
) -> MicroVM:
    made = MicroVM(spec=claim.spec)
    deleted = NOW if going else None
    made.metadata = ObjectMeta(name=claim.name, uid=uid, deletionTimestamp=deleted)
    made.status = MicroVMStatus(nodeName=NODE, conditions=list(conditions))
    return made


def condition(kind: str, status: bool = True, reason: str = "", message: str = "") -> Condition:
    return Condition(kind, TRUE if status else FALSE, reason, message)


def state(**changes: Any) -> State:
    known = State(
        profiles=[profile()],
        subnets=[subnet()],
        vpcs=[],
        machines_by_subnet={},
        machine=None,
        node=None,
        storage=storage(),
        region=REGION,
        now=NOW,
        roles=KnownRoles(),
        membership=Membership(),
    )
    assert changes.keys() <= set(State.__slots__), changes
    # Not dataclasses.replace, whose checks would want every field's exact type from the tests.
    return State(**{name: changes.get(name, getattr(known, name)) for name in State.__slots__})
