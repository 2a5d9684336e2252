"""The Vertical Pod Autoscaler in each of its modes. By request: it is built for this test alone."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.cluster import Cluster, Namespace
from tests.framework.eventually import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        "MONOPOD_LONG_TESTS" not in os.environ, reason="it takes a quarter of an hour"
    ),
]

_ADDON: Final = "vertical-pod-autoscaler"
_SMALLEST: Final = "0.25vCPU 0.5GB"
_EVICTING: Final = ("Recreate", "Auto", "InPlaceOrRecreate")
_INITIAL: Final = "Initial"
_READY_WITHIN_S: Final = 180.0
"""Four pods that spin start at once: on two cores with other work a call alone took a minute."""
_RECOMMENDED_WITHIN_S: Final = 600.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scaled(namespace: Namespace) -> AsyncIterator[Namespace]:
    """A namespace of a cluster with metrics-server and the Vertical Pod Autoscaler."""
    without = namespace.cluster
    await Cluster(without.home, metrics_server=True).monopod("up", "--no-demo")
    try:
        await without.monopod("addon", "add", _ADDON, timeout_s=1200)
        for name in ("admission-controller", "recommender", "updater"):
            await without.kubectl(
                *("-n", "kube-system", "rollout", "status", f"deployment/vpa-{name}"),
                timeout_s=180,
            )
        await without.kubectl(
            "wait", "--for=create", "mutatingwebhookconfiguration/vpa-webhook-config"
        )
        yield namespace
    finally:
        await without.monopod("addon", "remove", _ADDON)
        await without.monopod("up", "--no-demo")


def _objects(mode: str, image: str) -> list[dict[str, Any]]:
    name = mode.lower()
    labels = {"app": name}
    container = {
        "name": "main",
        "image": image,
        "command": ["probe", "spin", "1"],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
                },
            },
        },
        {
            "apiVersion": "autoscaling.k8s.io/v1",
            "kind": "VerticalPodAutoscaler",
            "metadata": {"name": name},
            "spec": {
                "targetRef": target,
                "updatePolicy": {"updateMode": mode, "minReplicas": 1},
            },
        },
    ]


async def _pod(namespace: Namespace, mode: str) -> dict[str, Any] | None:
    """Return the one pod of a mode that is ready and does not end."""
    found = [
        each
        for each in (await namespace.get("pods", "-l", f"app={mode.lower()}"))["items"]
        if "deletionTimestamp" not in each["metadata"]
        and any(
            (one["type"], one["status"]) == ("Ready", "True")
            for one in each["status"].get("conditions", ())
        )
    ]
    return found[0] if len(found) == 1 else None


async def _grown(namespace: Namespace, mode: str, old: str) -> dict[str, Any]:
    """Wait for another pod on a bigger machine.

    A first recommendation, from the time that the pod took to start, may be smaller than what the
    pod has: on a busy host it is replaced more than once.
    """

    async def look() -> dict[str, Any] | None:
        found = await _pod(namespace, mode)
        if found is None or _size(found) == _SMALLEST:
            return None
        return found if found["metadata"]["uid"] != old else None

    return await eventually(look, f"a bigger pod of {mode}", _RECOMMENDED_WITHIN_S, every_s=1)


def _size(pod: dict[str, Any]) -> str:
    return pod["metadata"]["annotations"]["CapacityProvisioned"]


@pytest.mark.row("S15")
async def test_a_pod_under_load_is_recreated_on_a_bigger_machine(
    scaled: Namespace, image: str, record_property: Callable[[str, object], None]
) -> None:
    modes = (_INITIAL, *_EVICTING)
    await scaled.apply(*(each for mode in modes for each in _objects(mode, image)))
    began = time.monotonic()

    async def first(mode: str) -> str:
        async def look() -> dict[str, Any] | None:
            return await _pod(scaled, mode)

        found = await eventually(look, f"the pod of {mode}", _READY_WITHIN_S, every_s=0.5)
        assert _size(found) == _SMALLEST
        return found["metadata"]["uid"]

    found = await asyncio.gather(*map(first, modes))
    old: dict[str, str] = dict(zip(modes, found, strict=True))

    async def grown(mode: str) -> None:
        found = await _grown(scaled, mode, old[mode])
        record_property(mode, (round(time.monotonic() - began, 1), _size(found)))
        (node,) = (await scaled.cluster.get("nodes", found["spec"]["nodeName"]),)
        assert node["status"]["allocatable"]["cpu"] != "250m"

    await asyncio.gather(*map(grown, _EVICTING))
    # Only its own deletion replaces the pod in this mode.
    initial = await _pod(scaled, _INITIAL)
    assert initial is not None
    assert initial["metadata"]["uid"] == old[_INITIAL]
    await scaled.kubectl("delete", "pod", initial["metadata"]["name"])
    await grown(_INITIAL)
