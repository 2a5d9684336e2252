"""An attacker whose endpoints name other pods' addresses: by a kubelet, or by a written slice.

A load balancer's packets pass every security group and network policy.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest
from lightkube.models.core_v1 import ObjectReference
from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.discovery_v1 import EndpointSlice

from monopod.api.resources import MicroVM
from monopod.controllers.loadbalancer import manager
from monopod.controllers.loadbalancer.last_known_good import LastKnownGood
from monopod.controllers.loadbalancer.machine_index import MachineIndex
from monopod.controllers.loadbalancer.servers import read
from monopod.controllers.loadbalancer.targets import targets
from monopod.kube import Client
from tests.framework.builders import READY, service, slice_of
from tests.framework.eventually import eventually
from tests.kube.source import FakeInformer
from tests.kube.waiting import running
from tests.loadbalancer.rig import PORT, TARGETS, Rig, rig

_MINE, _VICTIMS, _FREE, _ON_WORKER = "192.168.1.5", "192.168.1.6", "10.9.0.1", "192.168.255.7"
_WORKER: Final = "ip-192-168-255-1.local-1.compute.internal"


def _machine(name: str, namespace: str, uid: str, address: str, block: str = "") -> MicroVM:
    return msgspec.convert(
        {
            "metadata": {"name": name, "uid": f"uid of {name}"},
            "spec": {
                "podRef": {"namespace": namespace, "name": uid, "uid": uid},
                "profile": "" if block else "default",
                "subnet": "private-a",
                "milliCPU": 250,
                "memoryMiB": 512,
                "purpose": "WorkerNode" if block else "Pod",
                "podCIDR": block,
            },
            "status": {"podAddress": address, "nodeName": _WORKER if block else name},
        },
        MicroVM,
    )


def _claims(address: str, uid: str | None, namespace: str = "default") -> EndpointSlice:
    """A slice of the attacker's service."""
    made = slice_of("web", {address: READY}, namespace="default")
    assert made.endpoints
    if uid is not None:
        reference = ObjectReference(kind="Pod", name=uid, namespace=namespace, uid=uid)
        made.endpoints[0].targetRef = reference
    return made


def _pod(uid: str, node: str, address: str) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": uid, "namespace": "default", "uid": uid},
            "spec": {"containers": [{"name": "main"}], "nodeName": node},
            "status": {"podIPs": [{"ip": address}]},
        },
        Pod,
    )


@pytest.mark.unit
@pytest.mark.row("S5")
@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (_claims(_MINE, "mine"), _MINE),
        # Its kubelet reports another pod's address, or one that is no machine's.
        (_claims(_VICTIMS, "mine"), _MINE),
        (_claims(_FREE, "mine"), _MINE),
        # Slices that users write: no pod, another namespace's, none that exists.
        (_claims(_VICTIMS, None), None),
        (_claims(_VICTIMS, "victims", "theirs"), None),
        (_claims(_VICTIMS, "victims"), None),
        (_claims(_VICTIMS, "made up"), None),
        (_claims(_ON_WORKER, None), None),
        (_claims(_ON_WORKER, "other on worker"), None),
        (_claims(_ON_WORKER, "elsewhere"), None),
        (_claims(_ON_WORKER, "on worker"), _ON_WORKER),
        (_claims(_FREE, None), _FREE),
    ],
)
def test_an_address_is_a_target_for_its_own_pod_only(
    claim: EndpointSlice, expected: str | None
) -> None:
    machines = FakeInformer[MicroVM]()
    moves: list[None] = []
    index = MachineIndex(machines, lambda: moves.append(None))  # type: ignore[arg-type]
    machines.put(_machine("mvm-1", "default", "mine", _MINE))
    machines.put(_machine("mvm-2", "theirs", "victims", _VICTIMS))
    machines.put(_machine("mvm-3", "monopod-system", "node", "192.168.255.1", "192.168.255.0/24"))
    assert len(moves) == 2
    pods: Mapping[str, Pod] = {
        "default/on worker": _pod("on worker", _WORKER, _ON_WORKER),
        "default/other on worker": _pod("other on worker", _WORKER, "192.168.255.8"),
        "default/elsewhere": _pod("elsewhere", "fargate-ip-1", _ON_WORKER),
    }
    found = targets(index.owned([claim], pods.get), "http")
    assert [str(each.address) for each in found] == ([] if expected is None else [expected])


@pytest.mark.api
@pytest.mark.row("S5")
async def test_a_load_balancer_calls_no_other_pod(
    tmp_path: Path, admin: Client, namespace: str
) -> None:
    """The address becomes another pod's while the load balancer has it as a target."""
    one, two = map(str, TARGETS)
    await admin.create(service(namespace=namespace))
    ready = {one: READY, two: READY}
    await admin.create(slice_of("web", ready, namespace=namespace, ports={"http": PORT}))
    victim = _machine("mvm-00000000aa", "theirs", "victims", "")
    victim.status = None
    async with rig(tmp_path) as made, running(_controller(made, admin)):
        await eventually(lambda: _addresses(made, {one, two}))
        await admin.create(victim)
        status = {"status": {"podAddress": two}}
        try:
            await admin.patch(MicroVM, "mvm-00000000aa", status, subresource="status")
            await eventually(lambda: _addresses(made, {one}))
        finally:
            await admin.delete(MicroVM, "mvm-00000000aa")
        await eventually(lambda: _addresses(made, {one, two}))
        await admin.delete(Service, "web", namespace)


async def _controller(made: Rig, admin: Client) -> None:
    accepted = LastKnownGood(made.home / "d" / "accepted.json")
    await manager.run(admin, made.haproxy, accepted, made.plan, "local-1", look_every_s=0.5)


async def _addresses(made: Rig, expected: set[str]) -> bool:
    """Whether HAProxy's targets in use are these."""
    found = read(await made.ask("@1 show servers state"))
    used = {
        name.partition(":")[0]
        for backend in found.values()
        for name, state in backend.items()
        if state.in_use
    }
    return used & set(map(str, TARGETS)) == expected
