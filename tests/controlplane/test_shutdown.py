"""A control plane without machines is shut down, and starts again with its state."""

import os
from datetime import UTC, datetime

import pytest
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap

from monopod.controlplane import lifecycle
from monopod.controlplane.control_plane import ControlPlane
from monopod.controlplane.maintenance import shutdown
from monopod.controlplane.maintenance.settings import HostSettings
from monopod.node.provider import cordon
from monopod.node.provider.cordon import Cordon
from monopod.settings import Settings
from monopod.util.progress import ignore
from tests.controlplane.traces import processes

pytestmark = [
    pytest.mark.api,
    pytest.mark.row("S21"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
    pytest.mark.timeout(300),
]


async def test_a_shutdown_stops_everything_and_keeps_the_state(
    plane: ControlPlane, settings: Settings
) -> None:
    async with plane.admin() as client:
        await client.create(ConfigMap(metadata=ObjectMeta(name="kept", namespace="default")))
    said: list[str] = []
    own = HostSettings(shutdown_s=30)
    await shutdown.shutdown(settings, own, ignore, said.append)
    assert processes(f"{settings.home}/") == []
    assert said == []
    found = cordon.read(cordon.path_of(settings))
    assert found is not None
    assert found.shutdown
    # Again: nothing is left to do, and pods cannot be asked for.
    await shutdown.shutdown(settings, own, ignore, said.append)
    assert said == ["pods are stopped without grace: the control plane does not run"]

    again = await lifecycle.up(settings, machines=False)
    assert cordon.read(cordon.path_of(settings)) is None
    async with again.admin() as client:
        assert await client.get(ConfigMap, "kept", "default")


async def test_an_administrators_cordon_survives_a_shutdown(
    plane: ControlPlane, settings: Settings
) -> None:
    del plane
    path = cordon.path_of(settings)
    operators = Cordon(datetime.now(UTC), "disk")
    cordon.write(path, operators)
    try:
        await shutdown.shutdown(settings, HostSettings(shutdown_s=30), ignore, lambda _: None)
        await lifecycle.up(settings, machines=False)
        assert cordon.read(path) == operators
    finally:
        cordon.lift(path)
