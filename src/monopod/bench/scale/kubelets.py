"""``python -m monopod.bench.scale.kubelets``: the kubelets of all simulated machines and hosts.

Its arguments are the number of hosts and the interval of renewals of Leases in seconds. For each
machine it makes the calls by which a kubelet's node and pod become Ready:

* ``create nodes``, which fails as Monopod has made the Node, ``get nodes``, ``patch nodes/status``;
* ``get leases``, which Monopod has made, then an ``update`` at once and in each interval;
* ``get pods`` and ``patch pods/status``, once: Running and Ready.

A real kubelet makes more, which are left out: its lists and watches, its CSINode, some ten events,
a status of the pod and of the node before they are Ready, and tokens.
"""

import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Node, Pod

from monopod.api import keys
from monopod.api.conditions import is_true
from monopod.api.constants import LAUNCHED
from monopod.api.resources import MicroVM
from monopod.bench.informers import following
from monopod.bench.scale import objects
from monopod.kube import (
    AlreadyExistsError,
    Change,
    Client,
    Daemon,
    Deleted,
    Informer,
    KubeError,
    PatchType,
    connect,
    name_of,
    namespace_of,
    serve,
)
from monopod.settings import Settings

_NAME: Final = "bench-kubelets"
_AT_ONCE: Final = 16
"""As many as the client has connections."""
_TICK_S: Final = 0.5
_log: Final = structlog.get_logger(_NAME)


class Kubelets:
    """Simulated kubelets, by one client."""

    def __init__(self, client: Client, renewals: Client, region: str, renew_s: float) -> None:
        """Run none yet.

        Args:
            client: Makes every call but renewals.
            renewals: Renews Leases, which wait for no other call, as in separate kubelets.
            region: The region of the hosts.
            renew_s: Interval of renewals in seconds.
        """
        self._client = client
        self._renewals = renewals
        self._region = region
        self._renew_s = renew_s
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._renewal_slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._registered: set[str] = set()
        self._started: set[str] = set()
        self._leases: dict[str, tuple[float, Lease]] = {}
        """When each Lease is renewed next, the earliest first."""

    async def add_hosts(self, count: int) -> None:
        """Create the hosts' nodes."""
        await asyncio.gather(
            *(self._limited(self._add_host(number), self._slots) for number in range(count))
        )

    def machine_changed(self, change: Change[MicroVM]) -> None:
        """Boot a machine's kubelet once it is launched."""
        status = change.object.status_or_empty
        node = status.nodeName
        if isinstance(change, Deleted) or node in self._registered:
            return
        if is_true(status.conditions, LAUNCHED):
            self._registered.add(node)
            self._spawn(self._register(node))

    def pod_changed(self, change: Change[Pod]) -> None:
        """Start a pod once it is bound."""
        pod = change.object
        if isinstance(change, Deleted) or change.key in self._started:
            return
        if pod.spec is not None and pod.spec.nodeName:
            self._started.add(change.key)
            self._spawn(self._start(pod))

    async def renew(self) -> None:
        """Renew Leases until cancelled."""
        while True:
            now = asyncio.get_running_loop().time()
            due: list[str] = []
            for node, (at, _) in self._leases.items():
                if at > now:
                    break
                due.append(node)
            await asyncio.gather(
                *(self._limited(self._renew_one(node), self._renewal_slots) for node in due)
            )
            await asyncio.sleep(_TICK_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._limited(work, self._slots))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _limited(self, work: Coroutine[Any, Any, None], slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                await work
            except KubeError as error:
                _log.warning("kubelet_failed", why=error.message)

    async def _add_host(self, number: int) -> None:
        await self._client.create(objects.host_node(number, self._region))
        node = objects.host_name(number)
        self._note(node, await self._client.create(objects.lease(node, self._renew_s)))

    async def _register(self, node: str) -> None:
        try:
            await self._client.create(Node(metadata=ObjectMeta(name=node)))
        except AlreadyExistsError:
            await self._client.get(Node, node)
        await self._client.patch(
            Node,
            node,
            objects.node_report(),
            kind_of_patch=PatchType.STRATEGIC,
            subresource="status",
        )
        self._note(node, await self._client.get(Lease, node, objects.LEASES))
        await self._renew_one(node)

    async def _start(self, pod: Pod) -> None:
        name, namespace = name_of(pod), namespace_of(pod)
        found = await self._client.get(Pod, name, namespace)
        await self._client.patch(
            Pod,
            name,
            objects.pod_report(found),
            namespace,
            kind_of_patch=PatchType.STRATEGIC,
            subresource="status",
        )

    async def _renew_one(self, node: str) -> None:
        _, found = self._leases[node]
        if found.spec is not None:
            found.spec.renewTime = datetime.now(UTC)
        self._note(node, await self._renewals.replace(found))

    def _note(self, node: str, found: Lease) -> None:
        if found.metadata is not None:
            found.metadata.managedFields = None
        self._leases.pop(node, None)
        self._leases[node] = (asyncio.get_running_loop().time() + self._renew_s, found)


async def _main(service: Daemon) -> None:
    hosts, renew_s = int(sys.argv[1]), float(sys.argv[2])
    settings = Settings()
    kubeconfig = settings.identities / "kubelets" / "kubeconfig"
    async with connect(kubeconfig, _NAME) as client, connect(kubeconfig, _NAME) as renewals:
        kubelets = Kubelets(client, renewals, settings.region, renew_s)
        await kubelets.add_hosts(hosts)
        machines = Informer(client, MicroVM)
        pods = Informer(client, Pod, fields=f"spec.schedulerName={keys.SCHEDULER_NAME}")
        machines.subscribe(kubelets.machine_changed)
        pods.subscribe(kubelets.pod_changed)
        async with following(machines, pods):
            await machines.synced()
            await pods.synced()
            service.ready()
            await kubelets.renew()


if __name__ == "__main__":
    sys.exit(serve(_NAME, _main))
