import asyncio

import pytest
from lightkube.resources.coordination_v1 import Lease

from monopod.kube import Client, LeaderElector, LeaseTimes
from tests.kube.waiting import until

TIMES = LeaseTimes(duration_s=1, renew_within_s=0.7, retry_s=0.05)


class _Candidate:
    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self.name = name
        self.leads = False
        self.elector = LeaderElector(client, "lease", namespace, name, TIMES)
        self.task = asyncio.create_task(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.leads = True
        try:
            await asyncio.Event().wait()
        finally:
            self.leads = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_one_leads_and_hands_over_when_it_goes(admin: Client, namespace: str) -> None:
    first = _Candidate(admin, namespace, "first")
    await until(lambda: first.leads)
    second = _Candidate(admin, namespace, "second")
    third = _Candidate(admin, namespace, "third")
    loop = asyncio.get_running_loop()
    end = loop.time() + 1.5
    while loop.time() < end:
        assert first.leads
        assert not second.leads
        assert not third.leads
        await asyncio.sleep(0.02)
    await first.stop()
    assert not first.leads
    began = loop.time()
    await until(lambda: second.leads or third.leads)
    assert loop.time() - began < 0.9, "given back, not timed out"
    assert not (second.leads and third.leads)
    lease = await admin.get(Lease, "lease", namespace)
    assert lease.spec is not None
    assert lease.spec.leaseTransitions == 1
    await second.stop()
    await third.stop()


async def test_a_lease_that_nobody_renews_is_taken(admin: Client, namespace: str) -> None:
    first = _Candidate(admin, namespace, "first")
    await until(lambda: first.leads)
    await first.stop()
    # As if it had been killed: the lease still carries its name.
    held = {"spec": {"holderIdentity": "first", "leaseDurationSeconds": 1}}
    await admin.patch(Lease, "lease", held, namespace)
    loop = asyncio.get_running_loop()
    began = loop.time()
    second = _Candidate(admin, namespace, "second")
    await until(lambda: second.leads)
    assert loop.time() - began >= 1
    await second.stop()


async def test_who_loses_the_lease_stops_at_once(admin: Client, namespace: str) -> None:
    first = _Candidate(admin, namespace, "first")
    await until(lambda: first.leads)
    stolen = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 60}}
    await admin.patch(Lease, "lease", stolen, namespace)
    await asyncio.wait([first.task], timeout=5)
    assert first.task.done()
    assert not first.leads
    lease = await admin.get(Lease, "lease", namespace)
    assert lease.spec is not None
    assert lease.spec.holderIdentity == "thief", "not given back: it was not its own"


async def test_work_that_ends_or_fails_ends_the_lead(admin: Client, namespace: str) -> None:
    async def fail() -> None:
        raise ValueError("no use")

    elector = LeaderElector(admin, "lease", namespace, "a", TIMES)
    with pytest.raises(ValueError, match="no use"):
        await elector.run(fail)
    lease = await admin.get(Lease, "lease", namespace)
    assert lease.spec is not None
    assert not lease.spec.holderIdentity
