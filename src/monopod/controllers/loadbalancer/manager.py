"""Assembles and runs the load balancer controller with its informers and event recorders."""

import time
from collections.abc import Callable

from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.api.resources import MicroVM
from monopod.api.target_groups import TargetGroupBinding
from monopod.controllers.loadbalancer import events
from monopod.controllers.loadbalancer.certificates import Certificates
from monopod.controllers.loadbalancer.controller import (
    LOOK_EVERY_S,
    Informers,
    LoadBalancerController,
)
from monopod.controllers.loadbalancer.deployer import Deployer
from monopod.controllers.loadbalancer.haproxy import HAProxy
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.kube import Client, ElectionConfig, Manager
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.util.host_lock import HostLock


async def run(
    client: Client,
    haproxy: HAProxy,
    accepted: LastKnownGood,
    plan: ClusterNetwork,
    region: str,
    *,
    ready: Callable[[], None] = lambda: None,
    election: ElectionConfig | None = None,
    lock: HostLock | None = None,
    per_namespace: int = 16,
    look_every_s: float = LOOK_EVERY_S,
) -> None:
    """Run the load balancer controller until cancelled.

    Args:
        client: As the user ``monopod:loadbalancer``.
        haproxy: Runs the load balancers.
        accepted: The last-known-good configuration per object.
        plan: The cluster's network plan.
        region: The region in load balancers' host names.
        ready: Called once HAProxy runs what the objects request.
        election: The Lease without which nothing acts. None means no leader election.
        lock: Of the one process of this host that writes HAProxy's configuration.
        per_namespace: Load balancers of one scheme that a namespace has at most.
        look_every_s: Resync period in seconds.
    """
    manager = Manager(client, election)
    client = manager.client
    views = Informers(
        services=manager.informer(Service),
        slices=manager.informer(EndpointSlice),
        ingresses=manager.informer(Ingress),
        classes=manager.informer(IngressClass),
        bindings=manager.informer(TargetGroupBinding),
        pods=manager.informer(Pod),
        machines=manager.informer(MicroVM),
    )
    publisher = events.EventPublisher(
        manager.recorder(events.SERVICE_COMPONENT), manager.recorder(events.INGRESS_COMPONENT)
    )
    certificates = Certificates(client, time.monotonic)
    deployer = Deployer(haproxy, accepted, certificates, plan, per_namespace)
    controller = LoadBalancerController(
        client,
        views,
        publisher,
        deployer,
        pool=plan.balancer_addresses,
        region=region,
        look_every_s=look_every_s,
    )

    async def take_over() -> None:
        if lock is not None:
            await lock.acquire()
        accepted.reload()

    manager.add(controller, prepare=take_over)
    await manager.run(ready)
