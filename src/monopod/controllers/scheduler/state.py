"""The state that a decision about one pod depends on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lightkube.resources.core_v1 import Node

from monopod.api.resources import FargateProfile, MicroVM, Subnet, Vpc
from monopod.controllers.scheduler.log_routing import NOT_FOUND, Routing
from monopod.controllers.scheduler.placed_pods import NamespaceLabels, PlacedPod
from monopod.controllers.scheduler.placement import Region
from monopod.controllers.scheduler.security_groups import Membership
from monopod.fargate.profiles import KnownRoles
from monopod.fargate.unsupported import RuntimeClasses, Storage


@dataclass(frozen=True, slots=True)
class State:
    """Everything but the pod itself."""

    profiles: Sequence[FargateProfile]
    subnets: Sequence[Subnet]
    vpcs: Sequence[Vpc]
    machines_by_subnet: Mapping[str, int]
    """Number of machines in each subnet."""
    machine: MicroVM | None
    """The MicroVM of the name that is derived from this pod's uid."""
    node: Node | None
    """That machine's node."""
    storage: Storage
    region: Region
    roles: KnownRoles
    now: datetime
    placed_pods: Callable[[], Sequence[PlacedPod]] = tuple
    """Called only if zone constraints apply."""
    any_required_anti_affinity: bool = False
    """Whether any pod has required anti-affinity by zone."""
    namespaces: Callable[[], NamespaceLabels] = dict
    classes: RuntimeClasses | None = None
    """RuntimeClasses by name."""
    hardware_only: bool = False
    """Whether this cluster allows hardware virtualisation only."""
    logging: Routing = NOT_FOUND
    """How its logs are handled."""
    membership: Membership | None = None
    """The security groups assigned to it; None if not read yet."""
