import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Node
from prometheus_client import REGISTRY

from monopod.kube import Client, EventRecorder, EventType, meta
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.kube.test_client import pod
from tests.kube.waiting import running

pytestmark = pytest.mark.api

NOW = datetime(2026, 11, 23, 18, 0, 0, 5, tzinfo=UTC)


async def test_an_event_is_shown_by_kubectl_describe(
    admin: Client, namespace: str, api_server: ApiServer
) -> None:
    made = await admin.create(pod(namespace))
    recorder = EventRecorder(admin, "fargate-scheduler")
    recorder.record(made, EventType.WARNING, "FailedScheduling", "no capacity")
    async with running(recorder.run()):
        await recorder.flush()
    shown = api_server.kubectl("-n", namespace, "describe", "pod", "p").stdout.splitlines()[-1]
    assert shown.split() == [
        "Warning",
        "FailedScheduling",
        shown.split()[2],
        "fargate-scheduler",
        "no",
        "capacity",
    ]


async def test_repetitions_are_counted_across_processes(admin: Client, namespace: str) -> None:
    made = await admin.create(pod(namespace))
    times = iter(NOW + timedelta(minutes=number) for number in range(9))
    for _ in range(2):
        recorder = EventRecorder(admin, "us", now=lambda: next(times))
        async with running(recorder.run()):
            for _ in range(3):
                recorder.record(made, EventType.NORMAL, "Tested", "the same")
            recorder.record(made, EventType.NORMAL, "Tested", "another")
            await recorder.flush()
    listing = await admin.list(Event, namespace)
    found = {event.message: event for event in listing.items}
    assert {message: event.count for message, event in found.items()} == {
        "the same": 6,
        "another": 2,
    }
    same = found["the same"]
    assert (same.firstTimestamp, same.lastTimestamp) == (
        NOW.replace(microsecond=0),
        NOW.replace(microsecond=0) + timedelta(minutes=6),
    )


async def test_an_expired_event_is_created_again(admin: Client, namespace: str) -> None:
    made = await admin.create(pod(namespace))
    recorder = EventRecorder(admin, "us")
    async with running(recorder.run()):
        for _ in range(2):
            recorder.record(made, EventType.NORMAL, "Tested", "the same")
            await recorder.flush()
            (event,) = (await admin.list(Event, namespace)).items
            assert event.count == 1
            await admin.delete(Event, meta(event).name or "", namespace)


async def test_long_names_and_messages_are_cut(admin: Client, namespace: str) -> None:
    wanted = pod(namespace, "p" * 240 + ".dotted.name")
    made = await admin.create(wanted)
    recorder = EventRecorder(admin, "us")
    async with running(recorder.run()):
        recorder.record(made, EventType.NORMAL, "Tested", "x" * 5000)
        await recorder.flush()
    (event,) = (await admin.list(Event, namespace)).items
    assert len(event.message or "") == 1024
    assert event.involvedObject.name == meta(made).name


async def test_events_of_cluster_scoped_objects_are_in_default(
    admin: Client, namespace: str
) -> None:
    made = await admin.create(Node(metadata=ObjectMeta(name=namespace)))
    recorder = EventRecorder(admin, "us")
    async with running(recorder.run()):
        recorder.record(made, EventType.NORMAL, "Tested", "it")
        await recorder.flush()
    listing = await admin.list(Event, fields=f"involvedObject.name={namespace}")
    assert [meta(event).namespace for event in listing.items] == ["default"]
    await admin.delete(Node, namespace)


def _dropped(why: str) -> float:
    labels = {"component": "flood", "why": why}
    return REGISTRY.get_sample_value("monopod_events_dropped_total", labels) or 0


async def test_recording_never_blocks(admin: Client, namespace: str) -> None:
    about = pod(namespace)
    recorder = EventRecorder(admin, "flood")
    for number in range(1001):
        recorder.record(about, EventType.NORMAL, "Tested", str(number))
    assert _dropped("full") == 1


async def test_a_slow_event_holds_up_only_those_of_its_writer(
    admin: Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, events fall behind many pod starts, and are dropped in the end."""
    create, held = admin.create, asyncio.Event()

    async def slow(event: Event) -> Event:
        if event.message == "0":
            await held.wait()
        return await create(event)

    async def written() -> set[str | None]:
        return {each.message for each in (await admin.list(Event, namespace)).items}

    monkeypatch.setattr(admin, "create", slow)
    recorder = EventRecorder(admin, "us")
    for number in range(20):
        about = pod(namespace)
        meta(about).name = meta(about).uid = f"pod-{number}"
        recorder.record(about, EventType.NORMAL, "Tested", str(number))
        if number == 0:
            recorder.record(about, EventType.NORMAL, "Tested", "after 0")
    async with running(recorder.run()):
        await eventually(written, "an event is written while the first is not")
        assert "after 0" not in await written()
        held.set()
        await recorder.flush()
    assert await written() == {"after 0", *map(str, range(20))}


async def test_rejected_events_are_dropped(admin: Client) -> None:
    recorder = EventRecorder(admin, "flood")
    async with running(recorder.run()):
        recorder.record(pod("no-such-namespace"), EventType.NORMAL, "Tested", "it")
        await recorder.flush()
    assert _dropped("refused") == 1
