"""Selects the subnet that a pod's machine is created in. Pure."""

from collections.abc import Mapping, Sequence

from lightkube.models.core_v1 import PodSpec
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import FargateProfile
from monopod.controllers.scheduler import placed_pods, placement, reasons, zones
from monopod.controllers.scheduler.actions import UnschedulableError
from monopod.controllers.scheduler.placement import SubnetCandidate
from monopod.controllers.scheduler.profile_selection import misconfigured
from monopod.controllers.scheduler.state import State
from monopod.fargate import profiles
from monopod.fargate.sizing import Size
from monopod.kube import name_of


def select_subnet(
    pod: Pod, spec: PodSpec, profile: FargateProfile, state: State, size: Size
) -> str:
    """Return the name of a pod's subnet.

    Args:
        pod: The pod.
        spec: Its spec.
        profile: The profile that it starts under.
        state: The state of the cluster.
        size: The size of its machine.

    Raises:
        UnschedulableError: No subnet of the profile is possible now.
    """
    usable = _usable(profile, state)
    allowed = placement.allowed(spec, usable, state.region, size)
    if not allowed:
        raise UnschedulableError(
            reasons.SELECTOR,
            f"MatchNodeSelector failed: Fargate profile {name_of(profile)} cannot satisfy pod's"
            " node selector/affinity requirements",
        )
    objections, scores = _judge_zones(pod, state, usable, allowed)
    candidates = [each for each in allowed if not objections.get(each.zone)]
    excluded = "; ".join(f"{zone}: {' and '.join(why)}" for zone, why in objections.items() if why)
    if not candidates:
        raise UnschedulableError(
            reasons.TOPOLOGY,
            f"No zone meets the pod's constraints: {excluded}",
            depends_on_pods=True,
        )
    best = placement.best(spec, candidates, state.region, size, scores)
    if best is None:
        counts = ", ".join(f"{each.name} ({each.free} free)" for each in candidates)
        where = " in a zone that meets the pod's constraints" if excluded else ""
        raise UnschedulableError(
            reasons.NO_ADDRESS,
            f"No subnet of Fargate profile {name_of(profile)}{where} has a free address: {counts}"
            + (f"; not in {excluded}" if excluded else ""),
            depends_on_pods=bool(excluded),
        )
    return best.name


def _usable(profile: FargateProfile, state: State) -> Sequence[SubnetCandidate]:
    found = profiles.subnets_of_profile(profile, state.subnets, state.vpcs)
    faults = profiles.role_faults(profile, state.roles)
    if not found.usable:
        faults += profiles.subnet_faults(found)
    if faults:
        raise misconfigured(profile, *(each.message for each in faults))
    return placement.subnet_candidates(found.usable, state.machines_by_subnet)


def _judge_zones(
    pod: Pod,
    state: State,
    usable: Sequence[SubnetCandidate],
    allowed: Sequence[SubnetCandidate],
) -> tuple[Mapping[str, Sequence[str]], Mapping[str, int]]:
    """Return each allowed zone's objections, and the scores of those without any."""
    if not state.any_required_anti_affinity and not placed_pods.constrained(pod):
        return {}, {}
    zone_state = zones.ZoneState(
        placed_pods=state.placed_pods(),
        namespaces=state.namespaces(),
        offered={each.zone for each in usable},
        allowed={each.zone for each in allowed},
    )
    objections = {
        zone: zones.filter_zone(pod, zone, zone_state) for zone in sorted(zone_state.allowed)
    }
    # Scored once for each zone: a zone may have several subnets, and each score is O(n).
    scores = {
        zone: zones.score_zone(pod, zone, zone_state) for zone, why in objections.items() if not why
    }
    return objections, scores
