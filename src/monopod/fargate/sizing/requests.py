"""Computes a pod's effective requests as the Kubernetes scheduler does.

Fargate's documentation says "the greatest of any init container, or the sum of all containers";
it has no rule for restartable init containers. They follow Kubernetes' own rule (KEP 753): they
keep running next to every container started after them.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monopod.fargate.sizing.quantity import parse_milli

if TYPE_CHECKING:
    from lightkube.models.core_v1 import Container, PodSpec

_POD_LEVEL = frozenset({"cpu", "memory"})


class Role(enum.Enum):
    """The kind of a container in its pod."""

    APP = "container"
    INIT = "init container"
    SIDECAR = "restartable init container"


@dataclass(frozen=True, slots=True)
class Share:
    """The request of one container."""

    container: str
    role: Role
    milli: int


@dataclass(frozen=True, slots=True)
class Requests:
    """A pod's effective request of one resource, in thousandths of its unit."""

    milli: int
    """The total, including overhead."""
    shares: tuple[Share, ...]
    """The containers that run together when their requests are the greatest."""
    pod_level: bool = False
    """Whether pod-level resources (``spec.resources``) set the amount."""
    overhead_milli: int = 0
    """Overhead of the pod's RuntimeClass."""

    @property
    def whole(self) -> int:
        """The amount in whole units (bytes), rounded up."""
        return -(-self.milli // 1000)


def requests_of(spec: "PodSpec", resource: str) -> Requests:
    """Return what a pod requests of ``cpu``, ``memory`` or ``ephemeral-storage``.

    A limit without a request counts as the request, as in the API server's defaulting: that applies
    to a container at the pod's creation, but not in a workload's template; and to the whole pod if
    no container requests any of the resource, and only after admission.

    Raises:
        QuantityError: A request is not a quantity.
    """
    shares = _greatest(_moments(spec, resource))
    of_pod = _of_pod(spec, resource)
    milli = _total(shares) if of_pod is None else of_pod
    overhead = _amount(spec.overhead, resource)
    return Requests(
        milli=milli + overhead,
        shares=tuple(share for share in shares if share.milli),
        pod_level=of_pod is not None,
        overhead_milli=overhead,
    )


def _of_pod(spec: "PodSpec", resource: str) -> int | None:
    """Return the pod-level request; None means that the containers' requests count."""
    wishes = spec.resources
    if wishes is None or resource not in _POD_LEVEL:
        return None
    if resource in (wishes.requests or {}):
        return _amount(wishes.requests, resource)
    every = (*(spec.initContainers or ()), *spec.containers)
    if any(_of_container(each, resource) is not None for each in every):
        return None
    return _amount(wishes.limits, resource) if resource in (wishes.limits or {}) else None


def _moments(spec: "PodSpec", resource: str) -> list[list[Share]]:
    """Return every set of containers that runs together, the running pod's last."""
    moments: list[list[Share]] = []
    sidecars: list[Share] = []
    for container in spec.initContainers or []:
        if container.restartPolicy == "Always":
            sidecars.append(_share(container, Role.SIDECAR, resource))
            moments.append(list(sidecars))
        else:
            moments.append([*sidecars, _share(container, Role.INIT, resource)])
    moments.append([*sidecars, *(_share(each, Role.APP, resource) for each in spec.containers)])
    return moments


def _greatest(moments: Sequence[list[Share]]) -> list[Share]:
    return max(reversed(moments), key=_total)


def _total(shares: Sequence[Share]) -> int:
    return sum(share.milli for share in shares)


def _share(container: "Container", role: Role, resource: str) -> Share:
    return Share(container.name, role, _of_container(container, resource) or 0)


def _of_container(container: "Container", resource: str) -> int | None:
    wishes = container.resources
    for amounts in (wishes.requests, wishes.limits) if wishes else ():
        if resource in (amounts or {}):
            return _amount(amounts, resource)
    return None


def _amount(amounts: Mapping[str, object] | None, resource: str) -> int:
    value = (amounts or {}).get(resource)
    return 0 if value is None else parse_milli(str(value))
