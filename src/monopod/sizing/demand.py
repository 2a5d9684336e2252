"""What a pod requests, counted the way the Kubernetes scheduler counts it.

Fargate's documentation says "the greatest of any init container, or the sum of all containers";
it has no rule for restartable init containers. Theirs is Kubernetes' own (KEP 753): they run on
beside every container started after them.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightkube.models.core_v1 import Container, PodSpec

from monopod.sizing.quantity import parse_milli

_POD_LEVEL = frozenset({"cpu", "memory"})


class Role(enum.Enum):
    """How a container takes part in its pod's life."""

    APP = "container"
    INIT = "init container"
    SIDECAR = "restartable init container"


@dataclass(frozen=True, slots=True)
class Share:
    """What one container asks for."""

    container: str
    role: Role
    milli: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What a pod needs of one resource, and why; amounts in thousandths of its unit."""

    milli: int
    """All of it, overhead counted."""
    shares: tuple[Share, ...]
    """The containers running together at the moment of the greatest need."""
    pod_level: bool = False
    """The pod names the amount for all its containers together (``spec.resources``)."""
    overhead_milli: int = 0
    """Of the pod's runtime class."""

    @property
    def whole(self) -> int:
        """The amount in whole units - bytes - rounded up."""
        return -(-self.milli // 1000)


def demand(spec: PodSpec, resource: str) -> Demand:
    """Return what a pod requests of ``cpu``, ``memory`` or ``ephemeral-storage``.

    Only requests count: a limit without one has become a request at the API server.

    Raises:
        QuantityError: A request is not a quantity.
    """
    shares, pod_level = _greatest(_moments(spec, resource)), False
    milli = _total(shares)
    own = (spec.resources.requests if spec.resources else None) or {}
    if resource in _POD_LEVEL and resource in own:
        milli, pod_level = parse_milli(str(own[resource])), True
    overhead = _amount(spec.overhead, resource)
    return Demand(
        milli=milli + overhead,
        shares=tuple(share for share in shares if share.milli),
        pod_level=pod_level,
        overhead_milli=overhead,
    )


def _moments(spec: PodSpec, resource: str) -> list[list[Share]]:
    """Every set of containers that runs together, the running pod's last."""
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


def _share(container: Container, role: Role, resource: str) -> Share:
    requests = container.resources.requests if container.resources else None
    return Share(container.name, role, _amount(requests, resource))


def _amount(amounts: Mapping[str, object] | None, resource: str) -> int:
    value = (amounts or {}).get(resource)
    return 0 if value is None else parse_milli(str(value))
