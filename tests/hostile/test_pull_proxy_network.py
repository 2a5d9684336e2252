"""The pull proxy's network: an attacker who has taken it over, and pods that look for it."""

import asyncio
import socket
from functools import partial
from pathlib import Path

import pytest

from monopod.node.net.cluster_network import API_PORT, KUBELET_PORT, PULL_PORT, REGISTRY_PORT
from monopod.node.net.router_chains import PULLS_AT_ONCE
from tests.net.lab import HOST_OUTSIDE, WORLD, call, counts, dropped, lab, make_socket, serving

pytestmark = pytest.mark.kernel


@pytest.mark.row("S5")
async def test_a_taken_over_proxy_reaches_the_outside_and_nothing_of_the_cluster(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        guest = await made.guest()
        plan, pulls = made.plan, made.topology.pulls
        own, control, outside = str(plan.pulls.ip), str(plan.control.ip), (str(WORLD.ip), 443)
        balancer = str(plan.internal_balancers[7])
        async with (
            serving(made.world, *outside),
            serving(made.router, str(plan.resolver), 53),
            serving(made.control, control, API_PORT),
            serving(made.control, control, REGISTRY_PORT),
            serving(made.topology.balancers, balancer, 443),
            serving(guest.namespace, guest.management, KUBELET_PORT),
            serving(guest.namespace, guest.pod, 443),
        ):
            # Masqueraded by the host.
            assert await call(pulls, own, outside)
            assert await call(pulls, own, (str(plan.resolver), 53), udp=True) == own
            for target in (
                (control, API_PORT),
                (control, REGISTRY_PORT),
                (balancer, 443),
                (guest.management, KUBELET_PORT),
                (guest.pod, 443),
                (str(plan.host.ip), 22),
            ):
                assert await dropped(made, "pulls_blocked", pulls, own, target), target
            kubelet = (guest.pod, KUBELET_PORT)
            assert await dropped(made, "kubelets_blocked", pulls, own, kubelet)
            assert await dropped(made, "metadata", pulls, own, ("169.254.169.254", 443))
            router = (str(plan.router_pulls.ip), 443)
            assert await dropped(made, "router_blocked", pulls, own, router)
            # Nothing but TCP leaves the cluster.
            blocked = partial(made.counted, "pulls_blocked")
            assert await counts(blocked, pulls, own, outside, udp=True)
            host = partial(made.counted_by_host, "host_blocked")
            assert await counts(host, pulls, own, (str(HOST_OUTSIDE.ip), 22))


@pytest.mark.row("S5")
async def test_only_management_addresses_reach_it_each_with_a_limit(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        guest, other = await made.guest(), await made.guest()
        proxy = (str(made.plan.pulls.ip), PULL_PORT)
        async with serving(made.topology.pulls, *proxy):
            assert await call(guest.namespace, guest.management, proxy) == guest.management
            pod = guest.namespace, guest.pod
            assert await dropped(made, "platform_blocked", *pod, proxy)
            elsewhere = (proxy[0], 9477)
            own = guest.namespace, guest.management
            assert await dropped(made, "management_blocked", *own, elsewhere)
            loop = asyncio.get_running_loop()
            held = [
                make_socket(guest.namespace, socket.SOCK_STREAM, (guest.management, 0))
                for _ in range(80)
            ]
            try:
                calls = [asyncio.ensure_future(loop.sock_connect(each, proxy)) for each in held]
                await asyncio.wait(calls[:PULLS_AT_ONCE])
                assert await dropped(made, "connections_blocked", *own, proxy)
                assert await call(other.namespace, other.management, proxy) == other.management
                for each in calls:
                    each.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            finally:
                for each in held:
                    each.close()
