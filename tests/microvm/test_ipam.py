"""Each address has one holder, despite concurrent and late writes."""

import asyncio
import time
from ipaddress import IPv4Network

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import Condition, MicroVM
from monopod.controllers.microvm import conditions
from monopod.controllers.microvm.ipam import AddressBook, Addresses, recorded
from monopod.node.net.errors import AddressesExhaustedError
from tests.microvm.build import ADDRESSED, machine
from tests.microvm.world import SETTINGS, TINY, World, addresses_of, condition_of

BLOCK = IPv4Network("192.168.2.0/28")
ROOM = 11
"""A /28 less the first four addresses and the last."""


@pytest.mark.unit
def test_allocation_is_idempotent() -> None:
    book, made = AddressBook(), machine()
    assert book.allocate(made, BLOCK) == book.allocate(made, BLOCK)


@pytest.mark.unit
def test_each_address_is_allocated_once_until_the_subnet_is_exhausted() -> None:
    book = AddressBook()
    given = [
        book.allocate(machine(uid=str(index), name=f"mvm-{index:010x}"), BLOCK)
        for index in range(ROOM)
    ]
    assert len({each.pod for each in given}) == len({each.management for each in given}) == ROOM
    with pytest.raises(AddressesExhaustedError):
        book.allocate(machine(uid="one more"), BLOCK)
    book.release(machine(uid="3"))
    assert book.allocate(machine(uid="one more"), BLOCK).pod == given[3].pod


@pytest.mark.unit
def test_a_worker_node_has_the_first_address_of_its_block_exclusively() -> None:
    book, block = AddressBook(), IPv4Network("192.168.255.0/24")
    one, two = (_worker_node(uid, str(block)) for uid in ("one", "two"))
    assert book.allocate(one, block).pod == block[1]
    assert book.allocate(one, block).pod == block[1]
    with pytest.raises(AddressesExhaustedError, match="belongs to another node"):
        book.allocate(two, block)


def _worker_node(uid: str, block: str) -> MicroVM:
    made = machine(uid=uid)
    spec = msgspec.structs.replace(made.spec, purpose="WorkerNode", podCIDR=block)
    return msgspec.structs.replace(made, spec=spec)


@pytest.mark.unit
def test_an_address_recorded_in_a_status_is_taken() -> None:
    book = AddressBook()
    chosen = book.allocate(machine(uid="first"), BLOCK)
    other = AddressBook()
    other.note(machine(ADDRESSED, uid="first", addresses=_texts(chosen)))
    assert other.allocate(machine(uid="second"), BLOCK).pod != chosen.pod


@pytest.mark.unit
def test_a_late_write_of_a_dead_process_takes_no_address_from_its_holder() -> None:
    """The write arrives after the next process has allocated the address to another machine."""
    book, first, second = AddressBook(), machine(uid="first"), machine(uid="second")
    chosen = book.allocate(second, BLOCK)
    late = machine(ADDRESSED, uid="first", addresses=_texts(chosen))
    book.note(late)
    assert not book.holds(late)
    own = book.allocate(first, BLOCK)
    assert own.pod != chosen.pod
    assert own.management != chosen.management
    assert book.holds(machine(ADDRESSED, uid="first", addresses=_texts(own)))
    assert book.allocate(second, BLOCK) == chosen


@pytest.mark.unit
def test_a_launched_machine_keeps_its_addresses_and_an_unlaunched_one_gets_others() -> None:
    book, promised = AddressBook(), machine(uid="promised")
    chosen = book.allocate(promised, BLOCK)
    runs = machine(ADDRESSED, uid="runs", addresses=_texts(chosen), attempts=1)
    book.note(runs)
    assert book.holds(runs)
    other = book.allocate(promised, BLOCK)
    assert (other.pod, other.management) != (chosen.pod, chosen.management)
    for each in (runs, promised):
        book.release(each)
    assert book.allocate(machine(uid="last"), BLOCK) == chosen


@pytest.mark.unit
def test_allocation_is_constant_time_in_taken_addresses() -> None:
    """Ten thousand allocations do not take a hundred million comparisons."""
    book, block = AddressBook(), IPv4Network("192.168.0.0/16")
    began = time.process_time()
    for number in range(10_000):
        name, uid = f"mvm-{number:010x}", str(number)
        given = book.allocate(machine(uid=uid, name=name), block)
        book.note(machine(ADDRESSED, uid=f"other {uid}", addresses=_texts(given)))
    assert time.process_time() - began < 10


@pytest.mark.unit
def test_a_machine_without_an_object_keeps_its_addresses_until_it_is_gone() -> None:
    book = AddressBook()
    orphan, later = machine(uid="orphan"), machine(uid="later")
    chosen = book.allocate(orphan, BLOCK)
    book.release(orphan, exists=True)
    book.sweep({"mvm-0123456789"})
    assert book.allocate(later, BLOCK).pod != chosen.pod
    book.release(later)
    book.sweep(set())
    assert book.allocate(machine(uid="last"), BLOCK).pod == chosen.pod


@pytest.mark.unit
def test_a_new_object_has_no_recorded_addresses() -> None:
    assert recorded(machine()) is None


def _texts(addresses: Addresses) -> tuple[str, str]:
    return str(addresses.management), str(addresses.pod)


@pytest.mark.api
async def test_a_machine_in_a_full_subnet_waits_with_an_event(world: World) -> None:
    async with world.controller():
        pods = [await world.pod(f"web-{index}") for index in range(ROOM + 1)]
        names = [await world.claim(pod, TINY) for pod in pods[:ROOM]]
        for name in names:
            await world.condition(name, conditions.LAUNCHED)
        waiting = await world.claim(pods[ROOM], TINY)
        machine = await world.condition(waiting, conditions.ADDRESSED, "False", "SubnetExhausted")
        assert TINY in condition_of(machine, conditions.ADDRESSED).message
        await world.event(f"subnet {TINY}: no free address left")
        await world.admin.delete(Pod, "web-3", world.namespace)
        await world.condition(waiting, conditions.LAUNCHED)


@pytest.mark.api
async def test_a_late_write_of_a_taken_address_is_replaced(world: World) -> None:
    async with world.controller():
        holder = await world.claim(await world.pod("holder"))
        held = await world.condition(holder, conditions.LAUNCHED)
    late = await world.claim(await world.pod("late"))
    status = held.status
    assert status is not None
    addressed = Condition(
        "Addressed", "True", "Allocated", "late", status.conditions[0].lastTransitionTime
    )
    said = {
        "podAddress": status.podAddress,
        "managementAddress": status.managementAddress,
        "nodeName": status.nodeName,
        "conditions": [addressed],
    }
    await world.admin.patch(MicroVM, late, {"status": said}, subresource="status")
    async with world.controller():
        machines = [await world.condition(name, conditions.LAUNCHED) for name in (holder, late)]
    addresses = addresses_of(machines)
    assert len(set(addresses)) == len(addresses) == 4


@pytest.mark.api
async def test_a_missing_subnet_is_reported(world: World) -> None:
    async with world.controller():
        name = await world.claim(await world.pod(), "nowhere")
        await world.condition(name, conditions.ADDRESSED, "False", "SubnetNotFound")
        await world.event("Subnet nowhere does not exist")


# A controller that is cancelled during a request closes no socket.
@pytest.mark.api
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.row("S3")
async def test_two_hundred_concurrent_machines_share_no_address(world: World) -> None:
    count = 200
    patient = SETTINGS.model_copy(update={"registration_timeout_s": 600})
    pods = await asyncio.gather(*(world.pod(f"web-{index}") for index in range(count)))
    async with world.controller(patient, boots_at_once=count):
        names = await asyncio.gather(*(world.claim(pod) for pod in pods))
        # A second controller takes over during the allocation, with empty caches.
        await world.condition(names[count // 2], conditions.ADDRESSED)
    async with world.controller(patient, boots_at_once=count):
        machines = [
            await world.condition(name, conditions.LAUNCHED, timeout_s=300) for name in names
        ]
        addresses = addresses_of(machines)
        assert len(addresses) == len(set(addresses)) == 2 * count
        assert set(world.host.machines) == set(names)
        await asyncio.gather(
            *(world.admin.delete(Pod, f"web-{index}", world.namespace) for index in range(count))
        )
        for name in names:
            await world.gone(name, timeout_s=300)
    assert await world.nodes() == []
