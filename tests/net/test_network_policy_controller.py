"""Network policies in a real router, from objects in a real API server."""

import time
from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from typing import Any

import pytest
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod
from lightkube.resources.networking_v1 import NetworkPolicy

from monopod.controllers.vpc.filter_table import POLICIES
from monopod.controllers.vpc.network_policy_controller import NetworkPolicyController
from monopod.kube import Client, meta
from monopod.node.net import rules
from tests.net.conftest import Start
from tests.net.lab import Guest, Lab, call, counts, serving
from tests.net.objects import Objects
from tests.net.plane import until
from tests.net.test_desired import machine
from tests.net.test_network_policies import policy

pytestmark = pytest.mark.api

_PORT = 8080


@pytest.fixture
def working(lab: Lab, start: Start) -> Callable[[], Awaitable[None]]:
    return lambda: start(
        lambda manager: NetworkPolicyController(manager, lab.plan, look_every_s=0.1)
    )


async def _live(
    objects: Objects, admin: Client, namespace: str, guest: Guest, **labels: str
) -> None:
    """Make the pod that a guest is, and its machine."""
    name = f"pod-{token_hex(4)}"
    made = await admin.create(
        Pod(
            metadata=ObjectMeta(name=name, namespace=namespace, labels=labels),
            spec=PodSpec(containers=[Container(name="main", image="none")], schedulerName="none"),
        )
    )
    its = machine(f"mvm-{token_hex(5)}", "private-a")
    its.spec.podRef.namespace, its.spec.podRef.name = namespace, name
    its.spec.podRef.uid = meta(made).uid or ""
    await objects.machine(its, guest.management, guest.pod)


async def _allows(lab: Lab, caller: Guest, target: tuple[str, int]) -> bool:
    """Whether a new call is answered; a refusal needs no timeout."""

    async def counted() -> int:
        contents = await lab.firewall.contents(POLICIES.table)
        return 0 if contents is None else contents.counters[POLICIES.counter]

    return not await counts(counted, caller.namespace, caller.pod, target)


async def _deny(admin: Client, namespace: str, name: str, **spec: Any) -> None:
    await admin.create(policy(namespace, name, **spec))


@pytest.mark.row("S17")
async def test_policies_take_effect_on_running_pods_and_end_with_their_deletion(
    lab: Lab,
    objects: Objects,
    admin: Client,
    namespace: str,
    working: Callable[[], Awaitable[None]],
) -> None:
    client, server, other = await lab.guest(), await lab.guest(), await lab.guest()
    labels: Mapping[Guest, str] = {client: "client", server: "server", other: "other"}
    for guest, label in labels.items():
        await _live(objects, admin, namespace, guest, app=label)
    await working()
    target, control = (server.pod, _PORT), str(lab.plan.control.ip)

    async def answered() -> bool:
        return await _allows(lab, client, target)

    async def refused() -> bool:
        return not await answered()

    async with serving(server.namespace, server.pod, _PORT):
        await until(answered)
        began = time.monotonic()
        await _deny(admin, namespace, "deny", policyTypes=["Ingress"])
        await until(refused)
        print(f"enforced after {time.monotonic() - began:.3f} s")
        # As from a pod's node elsewhere: a webhook's calls.
        assert await call(lab.control, control, target) == control
        allowed = {"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}
        await _deny(admin, namespace, "allow", ingress=[allowed])
        await until(answered)
        assert not await _allows(lab, other, target)
        await admin.delete(NetworkPolicy, "allow", namespace)
        await until(refused)
        await admin.delete(NetworkPolicy, "deny", namespace)
        await until(answered)


@pytest.mark.row("S17")
async def test_an_address_of_no_pod_that_is_known_opens_and_takes_nothing(
    lab: Lab,
    objects: Objects,
    admin: Client,
    namespace: str,
    working: Callable[[], Awaitable[None]],
) -> None:
    known, unknown = await lab.guest(), await lab.guest()
    await _live(objects, admin, namespace, known)
    await working()
    async with (
        serving(known.namespace, known.pod, _PORT),
        serving(unknown.namespace, unknown.pod, _PORT),
    ):
        assert not await _allows(lab, unknown, (known.pod, _PORT))
        assert not await _allows(lab, known, (unknown.pod, _PORT))
        await _live(objects, admin, namespace, unknown)

        async def both() -> bool:
            return await _allows(lab, unknown, (known.pod, _PORT)) and await _allows(
                lab, known, (unknown.pod, _PORT)
            )

        await until(both)


async def test_removed_filters_are_restored(
    lab: Lab, objects: Objects, working: Callable[[], Awaitable[None]]
) -> None:
    await working()
    await lab.firewall.apply(rules.remove_table(POLICIES.table))
    await until(lambda: lab.firewall.has_table(POLICIES.table))


async def test_an_event_reports_unenforced_parts_of_a_policy(
    objects: Objects, admin: Client, namespace: str, working: Callable[[], Awaitable[None]]
) -> None:
    await working()
    blocks = [{"ipBlock": {"cidr": each}} for each in ("192.168.0.0/16", "2001:db8::/32")]
    await _deny(admin, namespace, "half", ingress=[{"from": blocks}])

    async def reported() -> bool:
        return bool((await admin.list(Event, namespace)).items)

    await until(reported)
    (event,) = (await admin.list(Event, namespace)).items
    assert (event.type, event.reason, event.involvedObject.name) == (
        "Warning",
        "NotEnforced",
        "half",
    )
    assert (event.message or "").endswith("from 2001:db8::/32")
