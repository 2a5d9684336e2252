"""Images of the registry that pods use, and the registry's rights to delete."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lightkube.models.core_v1 import (
    Container,
    ContainerStatus,
    EphemeralContainer,
    PodSpec,
    PodStatus,
)
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.build.images.use import Use
from monopod.controlplane import debian_services
from monopod.controlplane.images import uses_of
from monopod.controlplane.layout import Layout
from monopod.controlplane.service import Service
from monopod.controlplane.supervision import run_script
from monopod.settings import Settings

pytestmark = pytest.mark.unit

_LAYOUT = Layout.of(Settings(home=Path("/var/lib/monopod")), 7)
_REGISTRY = _LAYOUT.registry
_DIGEST = "sha256:" + "a" * 64


def _pod(phase: str | None, **containers: Any) -> Pod:
    status = ContainerStatus(
        name="main",
        image="app",
        imageID=f"{_REGISTRY}/app@{_DIGEST}",
        ready=True,
        restartCount=0,
    )
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=PodSpec(containers=[Container(name="main", image=f"{_REGISTRY}/app:1")], **containers),
        status=PodStatus(phase=phase, containerStatuses=[status]) if phase else None,
    )


@pytest.mark.parametrize("phase", [None, "Pending", "Running", "Unknown"])
def test_an_unfinished_pod_uses_the_images_of_all_its_containers(
    phase: str | None,
) -> None:
    pod = _pod(
        phase,
        initContainers=[Container(name="init", image=f"{_REGISTRY}/init")],
        ephemeralContainers=[EphemeralContainer(name="debug", image=f"{_REGISTRY}/debug:2")],
    )
    tags = frozenset({("app", "1"), ("init", "latest"), ("debug", "2")})
    digests = frozenset({_DIGEST} if phase else ())
    assert uses_of([pod], _REGISTRY) == (Use("default/web", tags, digests),)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_uses_nothing(phase: str) -> None:
    assert uses_of([_pod(phase)], _REGISTRY) == ()


def test_a_pod_with_images_of_another_registry_uses_nothing() -> None:
    assert uses_of([_pod("Running")], "100.127.9.6:5000") == ()


def _configuration(service: Service) -> dict[str, Any]:
    return yaml.safe_load(service.configuration["config.yml"])


def test_images_are_deleted_only_through_the_socket() -> None:
    pull, push = debian_services.registry(_LAYOUT), debian_services.registry_push(_LAYOUT)
    storage = _configuration(pull)["storage"]
    assert storage["delete"] == {"enabled": False}
    assert storage["maintenance"] == {"readonly": {"enabled": True}}
    assert pull.writable == ()
    assert pull.prepare == ()
    configured = _configuration(push)
    assert configured["storage"]["delete"] == {"enabled": True}
    assert configured["http"] == {"net": "unix", "addr": str(_LAYOUT.push_socket)}


def test_garbage_is_collected_before_the_registry_listens() -> None:
    script = run_script(debian_services.registry_push(_LAYOUT)).splitlines()
    collects = [number for number, line in enumerate(script) if '"garbage-collect"' in line]
    serves = [number for number, line in enumerate(script) if '"serve"' in line]
    assert len(collects) == len(serves) == 1
    assert collects[0] < serves[0]
    assert script[collects[0]].startswith("foreground {")
    assert '"bwrap"' in script[collects[0]], "it is confined too"
