"""Pods whose containers end with grace, and say so in their termination message."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.e2e.cluster import Namespace, pod

_MESSAGE = "ended with grace"
_SEEN_WITHIN_S = 30.0


def deployment(name: str, image: str) -> dict[str, Any]:
    """Return a Deployment of one such pod, which takes a second to end."""
    script = (
        f"trap 'sleep 1; echo {_MESSAGE} >/dev/termination-log; exit 0' TERM; sleep infinity & wait"
    )
    made = pod(name, image, script, terminationGracePeriodSeconds=20)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": made["spec"]},
        },
    }


async def started(namespace: Namespace, name: str) -> str:
    """Wait until the Deployment's pod is ready; returns the pod's name."""
    await namespace.kubectl(
        "rollout", "status", f"deployment/{name}", "--timeout=150s", timeout_s=160
    )
    (found,) = (
        each["metadata"]["name"]
        for each in (await namespace.get("pods", "-l", f"app={name}"))["items"]
        if "deletionTimestamp" not in each["metadata"]
    )
    return found


@asynccontextmanager
async def ends_with_grace(namespace: Namespace, name: str) -> AsyncGenerator[None]:
    """Check that meanwhile the container of a pod ends with grace.

    The pod's object is gone afterwards, so its last status is read from a watch.
    """
    seen = 'jsonpath={.status.containerStatuses[0].state.terminated.message}{"\\n"}'
    words = ("-n", namespace.name, "get", "pod", name, "--watch", "-o", seen)
    async with namespace.cluster.spawned(*words) as watch:
        assert watch.stdout is not None
        # Of the state that it began with.
        await asyncio.wait_for(watch.stdout.readline(), _SEEN_WITHIN_S)
        yield
        said = ""
        while _MESSAGE not in said:
            line = await asyncio.wait_for(watch.stdout.readline(), _SEEN_WITHIN_S)
            assert line, f"the pod {name} ended without grace: {said}"
            said += line.decode()
