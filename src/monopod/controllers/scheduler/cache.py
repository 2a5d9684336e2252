"""The scheduler's cache: informers, overlaid with the scheduler's own recent writes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from lightkube.resources.core_v1 import (
    ConfigMap,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
)
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api import keys
from monopod.api.resources import ExecutionRole, FargateProfile, MicroVM, Subnet, Vpc
from monopod.api.security_groups import SecurityGroup, SecurityGroupPolicy
from monopod.controllers.scheduler import log_routing
from monopod.controllers.scheduler.placed_pods import NamespaceLabels, PlacedPod, repelled_by
from monopod.controllers.scheduler.placement_index import PlacementIndex
from monopod.fargate.profiles import KnownRoles
from monopod.fargate.unsupported import Storage
from monopod.kube import (
    Added,
    Change,
    Deleted,
    Informer,
    Key,
    Manager,
    MutationCache,
    labels_of,
    make_key,
    name_of,
)


@dataclass(frozen=True, slots=True)
class Informers:
    """The scheduler's informers, one for each kind that decisions read."""

    pods: Informer[Pod]
    profiles: Informer[FargateProfile]
    roles: Informer[ExecutionRole]
    subnets: Informer[Subnet]
    vpcs: Informer[Vpc]
    machines: Informer[MicroVM]
    nodes: Informer[Node]
    claims: Informer[PersistentVolumeClaim]
    volumes: Informer[PersistentVolume]
    classes: Informer[RuntimeClass]
    logging: Informer[ConfigMap]
    """The log router's configuration, if there is one."""
    namespaces: Informer[Namespace]
    groups: Informer[SecurityGroup]
    policies: Informer[SecurityGroupPolicy]
    """These two only trigger requeues; see ``security_groups``."""


def scheduler_informers(manager: Manager) -> Informers:
    """Return a process's informers; pods and nodes are filtered to Fargate's."""
    return Informers(
        pods=manager.informer(Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}"),
        profiles=manager.informer(FargateProfile),
        roles=manager.informer(ExecutionRole),
        subnets=manager.informer(Subnet),
        vpcs=manager.informer(Vpc),
        machines=manager.informer(MicroVM),
        nodes=manager.informer(Node, labels=f"{keys.COMPUTE_TYPE_KEY}={keys.COMPUTE_TYPE_FARGATE}"),
        claims=manager.informer(PersistentVolumeClaim),
        volumes=manager.informer(PersistentVolume),
        classes=manager.informer(RuntimeClass),
        logging=manager.informer(
            ConfigMap,
            namespace=log_routing.NAMESPACE,
            fields=f"metadata.name={log_routing.CONFIG_MAP}",
        ),
        namespaces=manager.informer(Namespace),
        groups=manager.informer(SecurityGroup),
        policies=manager.informer(SecurityGroupPolicy),
    )


class SchedulerCache:
    """Cached cluster state that includes the scheduler's own writes."""

    def __init__(
        self, informers: Informers, *, drivers: Collection[str] = (), roles_required: bool = False
    ) -> None:
        """Create a cache on informers.

        Args:
            informers: The informers.
            drivers: CSI drivers that machines have built in.
            roles_required: As in :class:`monopod.fargate.profiles.KnownRoles`.
        """
        self.informers = informers
        self._roles_required = roles_required
        self.pods: MutationCache[Pod] = MutationCache(informers.pods)
        self.machines: MutationCache[MicroVM] = MutationCache(informers.machines)
        self.storage = Storage(
            claim=lambda namespace, name: informers.claims.get(make_key(name, namespace)),
            volume=informers.volumes.get,
            drivers=frozenset(drivers),
        )
        self._used: Counter[str] = Counter()
        self._pod_of_node: dict[str, Key] = {}
        self._with_anti_affinity: set[Key] = set()
        self._index = PlacementIndex(informers.machines, informers.pods, informers.subnets)
        informers.machines.subscribe(self._machine_changed)
        informers.pods.subscribe(self._pod_changed)

    @property
    def roles(self) -> KnownRoles:
        """All execution roles."""
        return KnownRoles(self.informers.roles.items(), self._roles_required)

    def node_of(self, machine: MicroVM | None) -> Node | None:
        """Return a machine's node, by ``status.nodeName`` of the MicroVM.

        The node's own labels are not trusted: its kubelet, in the guest, writes them.
        """
        name = machine.status.nodeName if machine is not None and machine.status else ""
        return self.informers.nodes.get(name) if name else None

    def pod_of_node(self, node: str) -> Key | None:
        """Return the key of the pod that a node belongs to."""
        return self._pod_of_node.get(node)

    def machines_by_subnet(self) -> Mapping[str, int]:
        """Count machines by subnet, including those being created."""
        used = Counter(self._used)
        used.update(machine.spec.subnet for machine in self.machines.unconfirmed())
        return used

    @property
    def any_required_anti_affinity(self) -> bool:
        """Whether any pod has required anti-affinity by zone."""
        return bool(self._with_anti_affinity)

    def namespaces(self) -> NamespaceLabels:
        """Return the labels of every namespace."""
        return {name_of(each): labels_of(each) for each in self.informers.namespaces.items()}

    def placed_pods(self) -> Sequence[PlacedPod]:
        """Return the placed pods, including those whose machines are being created."""
        creating = map(self._index.placed_pod_of, self.machines.unconfirmed())
        return (*self._index.placed_pods(), *(each for each in creating if each is not None))

    def _pod_changed(self, change: Change[Pod]) -> None:
        if not isinstance(change, Deleted) and repelled_by(change.object):
            self._with_anti_affinity.add(change.key)
        else:
            self._with_anti_affinity.discard(change.key)

    def _machine_changed(self, change: Change[MicroVM]) -> None:
        machine = change.object
        if machine.is_worker_node:
            # It belongs to no pod and takes no address of a subnet.
            return
        node = machine.status.nodeName if machine.status else ""
        match change:
            case Added():
                self._used[machine.spec.subnet] += 1
            case Deleted():
                self._used[machine.spec.subnet] -= 1
                self._pod_of_node.pop(node, None)
                return
            case _:
                pass
        if node:
            self._pod_of_node[node] = pod_key(machine)


def pod_key(machine: MicroVM) -> Key:
    """Return the key of a machine's pod."""
    return make_key(machine.spec.podRef.name, machine.spec.podRef.namespace)
