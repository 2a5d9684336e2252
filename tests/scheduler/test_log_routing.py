"""What pods carry about log routing, with the rights that the scheduler has in a cluster."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Namespace

from monopod.controllers.scheduler import log_routing
from monopod.kube import Client, meta
from tests.scheduler.conftest import World, eventually, running_scheduler

pytestmark = pytest.mark.api


@pytest.fixture
async def configured(admin: Client) -> AsyncIterator[None]:
    """The ConfigMap by which Fargate routes logs, until the test ends."""
    await admin.apply(Namespace(metadata=ObjectMeta(name=log_routing.NAMESPACE)))
    metadata = ObjectMeta(name=log_routing.CONFIG_MAP, namespace=log_routing.NAMESPACE)
    await admin.create(ConfigMap(metadata=metadata, data={"output.conf": "[OUTPUT]"}))
    yield
    await admin.delete(ConfigMap, log_routing.CONFIG_MAP, log_routing.NAMESPACE)


@pytest.mark.usefixtures("configured")
async def test_a_pod_does_not_say_that_an_existing_configmap_was_not_found(
    identity: Path, world: World
) -> None:
    async with running_scheduler(identity):
        await world.add_subnet()
        await world.add_profile()
        await world.claimed(await world.add_pod())

        async def annotation() -> str | None:
            return (meta(await world.pod()).annotations or {}).get("Logging")

        assert await eventually(annotation) == "LoggingDisabled: LOG_ROUTING_NOT_SUPPORTED"
        (event,) = await world.events("LoggingDisabled")
        assert "this version of Monopod does not route logs" in (event.message or "")
