"""Which driver a pod's machine runs under: what its profile, or the pod, requests.

A profile's driver is a floor. Users who create pods in a namespace write their annotations, and
must not get a weaker boundary than the profile's owner decided on.
"""

from typing import Final

from lightkube.core import resource as res
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.api.resources import FargateProfile
from monopod.controllers.scheduler import reasons
from monopod.controllers.scheduler.actions import UnschedulableError
from monopod.kube import annotations_of, name_of

_STRENGTH: Final = {
    keys.DRIVER_KVM: 3,
    keys.DRIVER_GVISOR: 2,
    keys.DRIVER_UML: 1,
    "qemu": 0,
    keys.DRIVER_TCG: 0,
    keys.DRIVER_LINUX: 0,
}
"""How strong a boundary each driver is (docs/explanation/security.md). The words that are no
driver's may be TCG."""


def requested_driver(pod: Pod, profile: FargateProfile, *, hardware_only: bool = False) -> str:
    """Return the requested driver; empty means any.

    Without a request, a pod that needs what gVisor lacks gets a driver with a Linux kernel.

    Args:
        pod: Its annotation may request a stronger driver than its profile's.
        profile: Its annotation is the driver of its pods, and their floor.
        hardware_only: Whether the cluster's floor is hardware virtualisation.

    Raises:
        UnschedulableError: An annotation is no driver, or is weaker than a floor; or the pod needs
            what the requested driver lacks.
    """
    floors = {
        f"Fargate profile {name_of(profile)}": _annotation(
            profile, f"Fargate profile {name_of(profile)}"
        ),
        "this cluster": keys.DRIVER_KVM if hardware_only else "",
    }
    wanted = _annotation(pod, "the pod")
    for owner, floor in floors.items():
        if wanted and floor and _STRENGTH[wanted] < _STRENGTH[floor]:
            raise UnschedulableError(
                reasons.WEAKER_DRIVER,
                f"Annotation {keys.DRIVER_ANNOTATION} of the pod is {wanted!r}, which isolates less"
                f" than {floor!r}, the least that {owner} allows",
            )
    chosen = wanted or max(floors.values(), key=lambda floor: _STRENGTH.get(floor, -1))
    needs = _needs_linux(pod)
    if needs and chosen == keys.DRIVER_GVISOR:
        raise UnschedulableError(
            reasons.DRIVER_LACKS_FEATURE,
            f"Driver {keys.DRIVER_GVISOR}, which the pod or its profile requests, lacks {needs}",
        )
    return chosen or (keys.DRIVER_LINUX if needs else "")


def _needs_linux(pod: Pod) -> str:
    """Return which of a pod's fields needs what gVisor lacks; empty means none."""
    spec = pod.spec
    if spec is None:
        return ""
    if spec.hostUsers is False:
        return "user namespaces (hostUsers: false)"
    if spec.securityContext is not None and spec.securityContext.sysctls:
        names = ", ".join(sorted(each.name for each in spec.securityContext.sysctls))
        return f"kernel parameters (sysctls: {names})"
    return ""


def _annotation(owner: res.Resource, what: str) -> str:
    driver = annotations_of(owner).get(keys.DRIVER_ANNOTATION, "")
    if driver and driver not in keys.DRIVER_WORDS:
        raise UnschedulableError(
            reasons.UNKNOWN_DRIVER,
            f"Annotation {keys.DRIVER_ANNOTATION} of {what} is {driver!r}; valid values are"
            f" {', '.join(keys.DRIVER_WORDS)}",
        )
    return driver
