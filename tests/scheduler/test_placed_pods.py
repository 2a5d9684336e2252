"""The incremental index of placed pods equals a count of all objects, after any events."""

import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import MicroVM, Subnet
from monopod.controllers.scheduler.placed_pods import PlacedPod, placed_pod, stays
from monopod.controllers.scheduler.placement_index import PlacementIndex
from monopod.kube import key_of, uid_of
from tests.framework.builders import pod, subnet
from tests.kube.source import FakeInformer

pytestmark = pytest.mark.unit

_ZONES = ("a", "b")
_APART = {
    "labelSelector": {"matchLabels": {"app": "web"}},
    "topologyKey": "topology.kubernetes.io/zone",
}
_SHY: dict[str, Any] = {
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_APART]}}
}


class _World:
    def __init__(self) -> None:
        self.machines = FakeInformer[MicroVM]()
        self.pods = FakeInformer[Pod]()
        self.subnets = FakeInformer[Subnet]()
        self.index = PlacementIndex(self.machines, self.pods, self.subnets)

    def recount(self) -> list[PlacedPod]:
        zones = {key_of(each): each.spec.availabilityZone for each in self.subnets.items()}
        pods = {uid_of(each): each for each in self.pods.items()}
        found = ((pods.get(each.spec.podRef.uid), each) for each in self.machines.items())
        return [
            placed_pod(of, zones[each.spec.subnet])
            for of, each in found
            if of is not None and stays(of) and each.spec.subnet in zones
        ]


def _machine(number: int, life: int, where: str) -> MicroVM:
    reference = {"namespace": "shop", "name": f"web-{number}", "uid": f"{number}-{life}"}
    spec = {"podRef": reference, "profile": "p", "subnet": where, "milliCPU": 1, "memoryMiB": 1}
    name = f"mvm-{number}-{life}"
    return msgspec.convert({"metadata": {"name": name, "uid": name}, "spec": spec}, MicroVM)


def _pod(number: int, life: int, app: str, going: bool, shy: bool) -> Pod:
    metadata: dict[str, Any] = {"uid": f"{number}-{life}", "labels": {"app": app}}
    made = pod(f"web-{number}", metadata=metadata, **(_SHY if shy else {}))
    if going:
        return msgspec.convert(msgspec.to_builtins(made) | {"status": {"phase": "Failed"}}, Pod)
    return made


_numbers, _lives = st.integers(0, 4), st.integers(0, 1)
_events = st.one_of(
    st.tuples(st.just("subnet"), st.sampled_from(_ZONES)),
    st.tuples(st.just("no subnet"), st.sampled_from(_ZONES)),
    st.tuples(st.just("machine"), st.builds(_machine, _numbers, _lives, st.sampled_from(_ZONES))),
    st.tuples(st.just("no machine"), _numbers, _lives),
    st.tuples(
        st.just("pod"),
        st.builds(
            _pod, _numbers, _lives, st.sampled_from(["web", "db"]), st.booleans(), st.booleans()
        ),
    ),
    st.tuples(st.just("no pod"), _numbers),
)


@given(st.lists(_events, max_size=40))
def test_the_index_equals_a_recount(events: list[tuple[Any, ...]]) -> None:
    world = _World()
    for event in events:
        match event:
            case ("subnet", zone):
                world.subnets.put(subnet(zone, zone=f"zone-{zone}"))
            case ("no subnet", zone):
                world.subnets.remove(zone)
            case ("machine", MicroVM() as made):
                # What a machine is for, and where, never changes.
                if world.machines.get(key_of(made)) is None:
                    world.machines.put(made)
            case ("no machine", number, life):
                world.machines.remove(f"mvm-{number}-{life}")
            case ("pod", Pod() as made):
                world.pods.put(made)
            case (_, number):
                world.pods.remove(f"shop/web-{number}")
            case _:
                raise AssertionError(event)
        each_alone = [
            replace(some, count=1) for some in world.index.placed_pods() for _ in range(some.count)
        ]
        assert sorted(map(repr, each_alone)) == sorted(map(repr, world.recount()))


def test_ten_thousand_replicas_cost_a_decision_what_one_does() -> None:
    world = _World()
    world.subnets.put(subnet("a", zone="zone-a"))
    began = time.process_time()
    for number in range(10_000):
        world.pods.put(_pod(number, 0, "web", going=False, shy=False))
        world.machines.put(_machine(number, 0, "a"))
        (alike,) = world.index.placed_pods()
        assert alike.count == number + 1
    assert time.process_time() - began < 20
