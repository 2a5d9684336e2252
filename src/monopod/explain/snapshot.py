"""Snapshot of all objects that an explanation is made from."""

from dataclasses import dataclass
from datetime import datetime

from lightkube.models import core_v1 as models
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.conditions import find_condition
from monopod.api.resources import FargateProfile, MicroVM, Subnet, Vpc
from monopod.fargate.profiles import matching_labels
from monopod.kube import annotations_of, labels_of, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class Warned:
    """An event of type Warning about the pod or its machine."""

    last: datetime | None
    reason: str
    message: str
    count: int
    source: str
    """The component that reported it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pod and all objects that its placement depends on."""

    pod: Pod
    profiles: tuple[FargateProfile, ...]
    subnets: tuple[Subnet, ...]
    machine: MicroVM | None
    """The MicroVM created for this pod's uid."""
    node: Node | None
    """The node that the pod is bound to, or that its machine will register."""
    warnings: tuple[Warned, ...]
    """Sorted, the newest first."""
    now: datetime
    vpcs: tuple[Vpc, ...] = ()

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return namespace_of(self.pod)

    @property
    def name(self) -> str:
        """The pod's name."""
        return name_of(self.pod)

    @property
    def labels(self) -> dict[str, str]:
        """What selectors of profiles are matched against."""
        spec = self.pod.spec
        return dict(matching_labels(labels_of(self.pod), spec.runtimeClassName if spec else None))

    @property
    def annotations(self) -> dict[str, str]:
        """The pod's annotations."""
        return dict(annotations_of(self.pod))

    @property
    def spec(self) -> models.PodSpec:
        """The pod's spec."""
        return self.pod.spec or models.PodSpec(containers=[])

    @property
    def status(self) -> models.PodStatus:
        """The pod's status."""
        return self.pod.status or models.PodStatus()

    @property
    def on_fargate(self) -> bool:
        """Whether the pod has Fargate's scheduler."""
        return self.spec.schedulerName == keys.SCHEDULER_NAME

    @property
    def bound_to(self) -> str | None:
        """Name of the node the pod is bound to, or None."""
        return self.spec.nodeName or None

    def condition(self, kind: str) -> models.PodCondition | None:
        """Return the pod's condition of this type, or None."""
        return find_condition(self.status.conditions, kind)
