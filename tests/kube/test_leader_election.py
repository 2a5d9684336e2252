"""Leader election: its rules by table and by property, and two replicas on a real API server."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import ConfigMap
from pydantic import ValidationError

from monopod.kube import (
    Client,
    Controller,
    ElectionConfig,
    Manager,
    NotLeaderError,
    connect,
    make_key,
    meta,
)
from monopod.kube.leader_election import (
    LeaderElector,
    LeadershipLostError,
    Observed,
    Record,
    configured,
    own_identity,
    released,
    renewed,
)
from monopod.settings import Settings
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.kube.proxy import proxied
from tests.kube.waiting import until

_NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
_CONFIG = ElectionConfig("monopod-test", "monopod-system", "me")
_OTHER = Record("other", 15, _NOW, _NOW, 3)


@pytest.mark.unit
def test_the_durations_are_client_gos_and_their_order_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert configured(Settings(), "scheduler") is None, "off unless set"
    monkeypatch.setenv("MONOPOD_LEADER_ELECTION", "true")
    made = configured(Settings(), "scheduler")
    assert made is not None
    assert replace(made, identity="me") == ElectionConfig(
        "monopod-scheduler", "monopod-system", "me", 15, renew_deadline_s=10, retry_period_s=2
    )
    monkeypatch.setenv("MONOPOD_LEADER_ELECTION_RENEW_DEADLINE_S", "15")
    with pytest.raises(ValidationError, match="LEASE_DURATION_S"):
        Settings()
    monkeypatch.setenv("MONOPOD_LEADER_ELECTION_RENEW_DEADLINE_S", "2.4")
    with pytest.raises(ValidationError, match="RETRY_PERIOD_S"):
        Settings()


@pytest.mark.unit
def test_identities_differ_between_processes_of_one_host() -> None:
    assert own_identity() != own_identity()


@pytest.mark.unit
@given(
    written=st.timedeltas(min_value=timedelta(days=-400), max_value=timedelta(days=400)),
    after_s=st.floats(min_value=0, max_value=100),
)
def test_only_the_time_of_observation_counts(written: timedelta, after_s: float) -> None:
    """A holder whose clock is off by a year holds the Lease no longer and no shorter."""
    record = replace(_OTHER, renewed=_NOW + written, acquired=_NOW + written)
    observed = Observed(Record(), 0.0).update(record, 1000.0)
    assert observed.held_by_another("me", 1000.0 + after_s) == (after_s < 15)


@pytest.mark.unit
def test_an_unchanged_record_expires_and_a_changed_one_starts_again() -> None:
    observed = Observed(Record(), 0.0).update(_OTHER, 1000.0).update(_OTHER, 1014.0)
    assert observed.held_by_another("me", 1014.9)
    assert not observed.held_by_another("me", 1015.0)
    again = observed.update(replace(_OTHER, renewed=_NOW + timedelta(seconds=2)), 1015.0)
    assert again.held_by_another("me", 1029.9)


@pytest.mark.unit
def test_own_and_empty_leases_are_free() -> None:
    assert not Observed(replace(_OTHER, holder="me"), 1000.0).held_by_another("me", 1000.0)
    assert not Observed(released(_OTHER, _NOW), 1000.0).held_by_another("me", 1000.0)
    assert not Observed(Record.of(Lease()), 1000.0).held_by_another("me", 1000.0)


@pytest.mark.unit
def test_what_is_written() -> None:
    first = renewed(Record(), _CONFIG, _NOW)
    assert first == Record("me", 15, _NOW, _NOW, 0)
    later = _NOW + timedelta(seconds=2)
    assert renewed(first, _CONFIG, later) == replace(first, renewed=later)
    taken = renewed(_OTHER, _CONFIG, later)
    assert taken == Record("me", 15, later, later, 4)
    assert released(taken, later) == Record("", 1, later, later, 4)


@pytest.mark.unit
@given(
    deadline_s=st.integers(min_value=3, max_value=60),
    extra_s=st.integers(min_value=1, max_value=60),
    delay_s=st.floats(min_value=0, max_value=1000),
    skew_s=st.floats(min_value=0, max_value=1000),
)
def test_a_leader_stops_before_another_can_start(
    deadline_s: int, extra_s: int, delay_s: float, skew_s: float
) -> None:
    """Whenever another one sees the renewal, which cannot be before it was sent."""
    config = ElectionConfig(
        "l", "n", "me", lease_duration_s=deadline_s + extra_s, renew_deadline_s=deadline_s
    )
    sent_at = 0.0
    record = renewed(Record(), config, _NOW + timedelta(seconds=skew_s))
    seen_at = sent_at + delay_s
    other = Observed(Record(), -1.0).update(record, seen_at)
    stops_at = sent_at + config.renew_deadline_s
    assert other.held_by_another("other", stops_at)


def _config(name: str, identity: str) -> ElectionConfig:
    return ElectionConfig(name, "default", identity, 2, renew_deadline_s=1.0, retry_period_s=0.2)


class _Replica:
    """One process's manager; its controller writes down which replica reconciled which key."""

    def __init__(self, client: Client, name: str, identity: str, journal: list[str]) -> None:
        self.ready = asyncio.Event()
        self.lost: list[LeadershipLostError] = []
        self.manager = Manager(client, _config(name, identity), lost=self.lost.append)
        self.maps = self.manager.informer(ConfigMap, namespace="default", labels=f"of={name}")

        async def reconcile(key: str) -> None:
            await asyncio.sleep(0)
            seen = self.maps.get(key)
            journal.append(f"{identity} {key.rpartition('/')[2]} {(seen and seen.data) or {}}")

        self.controller = Controller(f"test-{identity}", reconcile, base_s=0.05)
        self.maps.subscribe(lambda change: self.controller.enqueue(change.key))
        self.manager.add(self.controller)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[asyncio.Task[None]]:
        task = asyncio.create_task(self.manager.run(self.ready.set))
        try:
            await asyncio.wait_for(self.ready.wait(), 30)
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _map(admin: Client, lease: str, name: str) -> None:
    await admin.create(
        ConfigMap(
            metadata=ObjectMeta(name=f"{lease}-{name}", namespace="default", labels={"of": lease}),
            data={"a": name},
        )
    )


def _of(journal: list[str], name: str) -> Callable[[], object]:
    return lambda: [line for line in journal if f"-{name} " in line]


@pytest.mark.api
async def test_one_of_two_acts_and_the_other_stands_by_and_writes_nothing(admin: Client) -> None:
    journal: list[str] = []
    one = _Replica(admin, "release", "one", journal)
    two = _Replica(admin, "release", "two", journal)
    async with one.run(), two.run() as second:
        await _map(admin, "release", "a")
        await until(_of(journal, "a"))
        assert {line.split()[0] for line in journal} == {"one"}
        with pytest.raises(NotLeaderError):
            await two.manager.client.create(ConfigMap(metadata=ObjectMeta(name="x")), "default")
        assert not second.done()


@pytest.mark.api
async def test_a_release_hands_over_within_the_retry_period(admin: Client) -> None:
    journal: list[str] = []
    one, two = (_Replica(admin, "handover", each, journal) for each in ("one", "two"))
    async with _two_after_one(one, two) as stop_one:
        await _map(admin, "handover", "a")
        await until(_of(journal, "a"))
        began = asyncio.get_running_loop().time()
        await stop_one()
        await until(lambda: any(line.startswith("two ") for line in journal))
        # Not the 2 s of the Lease: it was released.
        assert asyncio.get_running_loop().time() - began < 1.5
    lease = await admin.get(Lease, "handover", "default")
    assert lease.spec is not None
    assert (lease.spec.holderIdentity, lease.spec.leaseTransitions) == ("", 1)


@pytest.mark.api
async def test_a_replica_that_stands_by_queues_nothing_and_then_what_exists(admin: Client) -> None:
    journal: list[str] = []
    one, two = (_Replica(admin, "warm", each, journal) for each in ("one", "two"))
    gone, kept = (make_key(f"warm-{each}", "default") for each in ("gone", "kept"))
    async with _two_after_one(one, two) as stop_one:
        await _map(admin, "warm", "gone")
        await until(lambda: two.maps.get(gone))
        await admin.delete(ConfigMap, "warm-gone", "default")
        await _map(admin, "warm", "kept")
        await until(lambda: two.maps.get(kept) and not two.maps.get(gone))
        assert two.controller.idle
        await stop_one()
        await until(lambda: "two warm-kept {'a': 'kept'}" in journal)
        await _map(admin, "warm", "later")
        await until(lambda: "two warm-later {'a': 'later'}" in journal)
    assert not [line for line in journal if line.startswith("two warm-gone")]


@asynccontextmanager
async def _two_after_one(
    one: _Replica, two: _Replica
) -> AsyncGenerator[Callable[[], "asyncio.Future[None]"]]:
    first = asyncio.create_task(one.manager.run(one.ready.set))
    await asyncio.wait_for(one.ready.wait(), 30)
    async with two.run():

        def stop() -> asyncio.Future[None]:
            first.cancel()
            return asyncio.ensure_future(_ended(first))

        try:
            yield stop
        finally:
            await stop()


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.api
async def test_a_leader_that_cannot_renew_ends_and_writes_nothing_more(admin: Client) -> None:
    journal: list[str] = []
    one = _Replica(admin, "stolen", "one", journal)
    async with one.run() as work:
        await admin.patch(Lease, "stolen", {"spec": {"holderIdentity": "thief"}}, "default")
        await eventually(work.done, "its work ends")
        assert len(one.lost) == 1
        assert "thief" in str(one.lost[0])
        with pytest.raises(NotLeaderError):
            await one.manager.client.delete(ConfigMap, "none", "default")


@pytest.mark.unit
async def test_a_write_that_waits_is_not_sent_once_the_lease_has_expired(tmp_path: Path) -> None:
    """Neither one that waited for a connection, nor the body of one that has begun."""
    sent: list[bytes] = []
    leads = True

    def guard() -> None:
        if not leads:
            raise NotLeaderError("another one may lead")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            sent.append(data)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(_kubeconfig(f"http://127.0.0.1:{port}")))
    async with server, connect(config, "tests") as client:
        guarded = client.guarded(guard)
        patch = {"data": {"a": "b"}}
        await guarded.patch(ConfigMap, "one", patch, "default")
        assert len(b"".join(sent).split(b"PATCH ")) == 2

        leads = False
        sent.clear()
        with pytest.raises(NotLeaderError):
            await guarded.patch(ConfigMap, "one", patch, "default")
        assert sent == []
        await guarded.get(ConfigMap, "one", "default")
        assert b"GET " in sent[0]

        # The first question is before the connection, the second for the head.
        asked = allowed = 0
        sent.clear()

        def lost_while_sending() -> None:
            nonlocal asked
            asked += 1
            if asked > allowed:
                raise NotLeaderError("another one may lead")

        for limit in (1, 2):
            asked, allowed = 0, limit
            with pytest.raises(NotLeaderError):
                await client.guarded(lost_while_sending).patch(ConfigMap, "one", patch, "default")
            assert b'"data"' not in b"".join(sent)


def _kubeconfig(server: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "none"}}],
    }


@pytest.mark.api
async def test_a_connection_that_hangs_does_not_cost_the_lease(
    api_server: ApiServer, admin: Client, tmp_path: Path
) -> None:
    config = ElectionConfig("hangs", "default", "one", 8, renew_deadline_s=6, retry_period_s=0.5)
    async with (
        proxied(api_server.url, api_server.admin.parent, tmp_path) as (proxy, kubeconfig),
        connect(kubeconfig, "tests") as client,
    ):
        elector = LeaderElector(client.for_renewals(), config)
        await elector.acquire()
        work = asyncio.create_task(elector.renew())
        proxy.hold()
        held = await admin.get(Lease, "hangs", "default")

        async def renewed_since() -> bool:
            found = await admin.get(Lease, "hangs", "default")
            return meta(found).resourceVersion != meta(held).resourceVersion

        await eventually(renewed_since, "it is renewed by another connection", every_s=0.1)
        assert proxy.connections > 1
        assert elector.leads
        assert not work.done()
        work.cancel()
        await _ended(work)


@pytest.mark.api
async def test_a_new_leader_sees_the_last_write_of_the_old_one(admin: Client) -> None:
    """Its watch may be late: it lists again before anything acts."""
    await _map(admin, "late", "a")
    manager = Manager(admin)
    maps = manager.informer(ConfigMap, namespace="default", labels="of=late")
    key = make_key("late-a", "default")
    work = asyncio.create_task(manager.run(lambda: None))
    await until(lambda: maps.get(key))
    try:
        for number in range(20):
            changed = await admin.patch(
                ConfigMap, "late-a", {"data": {"a": str(number)}}, "default"
            )
            await maps.refresh()
            seen = maps.get(key)
            assert seen is not None
            assert meta(seen).resourceVersion == meta(changed).resourceVersion
        # And the watch goes on.
        await _map(admin, "late", "b")
        await until(lambda: maps.get(make_key("late-b", "default")))
    finally:
        work.cancel()
        await _ended(work)


@pytest.mark.api
async def test_a_lease_that_is_deleted_is_created_again_and_a_conflict_is_no_loss(
    admin: Client,
) -> None:
    config = _config("gone", "one")
    elector = LeaderElector(admin, config)
    assert await elector.attempt()
    await admin.patch(Lease, "gone", {"metadata": {"labels": {"a": "b"}}}, "default")
    assert not await elector.attempt(), "another client wrote: the resource version differs"
    assert elector.leads, "until the renew deadline"
    assert await elector.attempt()
    await admin.delete(Lease, "gone", "default")
    assert not await elector.attempt()
    assert await elector.attempt()
    await elector.release()
    assert not elector.leads
