"""Lease renewals are timed by this process's own clock."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from lightkube.resources.coordination_v1 import Lease

from monopod.controllers.microvm.heartbeats import LeaseTracker
from monopod.controllers.microvm.state import LeaseSilence
from monopod.kube import Added, Deleted, Modified

pytestmark = pytest.mark.unit

NODE = "fargate-ip-192-168-1-9.local-1.compute.internal"
KEY = f"kube-node-lease/{NODE}"
THEN = datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> LeaseTracker:
    return LeaseTracker(clock)


def lease(after_s: float = 0, holder: str = NODE) -> Lease:
    renewed = THEN + timedelta(seconds=after_s)
    return msgspec.convert({"spec": {"renewTime": renewed, "holderIdentity": holder}}, Lease)


def test_silence_is_counted_from_an_observed_renewal(leases: LeaseTracker, clock: Clock) -> None:
    leases.changed(Added(KEY, lease()))
    clock.now += 7
    assert leases.silence(NODE) == LeaseSilence(7, THEN)
    # A renewal counts even if the guest's clock went back.
    leases.changed(Modified(KEY, lease(-3600), lease()))
    assert leases.silence(NODE) == LeaseSilence(0, THEN - timedelta(hours=1))


def test_other_changes_of_a_lease_are_not_renewals(leases: LeaseTracker, clock: Clock) -> None:
    leases.changed(Added(KEY, lease()))
    clock.now += 7
    leases.changed(Modified(KEY, lease(holder="another"), lease()))
    leases.changed(Deleted(KEY, lease()))
    assert leases.silence(NODE) == LeaseSilence(7, THEN)


def test_silence_of_an_unknown_node_is_counted_from_the_first_query(
    leases: LeaseTracker, clock: Clock
) -> None:
    assert leases.silence(NODE) == LeaseSilence(0)
    clock.now += 7
    assert leases.silence(NODE) == LeaseSilence(7)
    leases.forget(NODE)
    assert leases.silence(NODE) == LeaseSilence(0)
