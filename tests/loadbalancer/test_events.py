"""An object gets an event once while it stays the object's last one."""

from unittest.mock import Mock

import pytest

from monopod.controllers.loadbalancer.events import EventPublisher
from monopod.kube import EventType, uid_of
from tests.framework.builders.services import service

pytestmark = pytest.mark.unit


def test_a_repeated_event_is_published_once() -> None:
    services, ingresses, owner = Mock(), Mock(), service()
    events = EventPublisher(services, ingresses)
    for _ in range(2):
        events.warn(owner, "FailedBuildModel", "why")
    events.forget_others({uid_of(owner)})
    events.warn(owner, "FailedBuildModel", "why")
    services.record.assert_called_once_with(owner, EventType.WARNING, "FailedBuildModel", "why")
    events.reconciled(owner)
    events.warn(owner, "FailedBuildModel", "why")
    assert services.record.call_count == 3
    events.forget_others(set())
    events.warn(owner, "FailedBuildModel", "why")
    assert services.record.call_count == 4
    assert not ingresses.record.called
