"""``python -m monopod.bench.tenants.attacker``: a hostile tenant's client of the API.

It runs until it is terminated, and then prints what it did as JSON: accepted and refused requests
of each kind.
"""

import asyncio
import itertools
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from lightkube.resources.core_v1 import Pod, Service

from monopod.bench.tenants.manifests import balancer, event, small_pod
from monopod.kube import Client, KubeError, connect

_USER_AGENT: Final = "monopod-bench"
_LISTS: Final = 16
_EVENTS: Final = 8
_PODS: Final = 24
_SERVICES: Final = 70
_PAUSE_S: Final = 0.02


async def _forever(counts: Counter[str], what: str, act: Callable[[], Awaitable[Any]]) -> None:
    while True:
        try:
            await act()
        except KubeError:
            counts[f"{what}, refused"] += 1
            await asyncio.sleep(_PAUSE_S)
        else:
            counts[what] += 1


async def _attack(client: Client, namespace: str, counts: Counter[str]) -> None:
    numbers = itertools.count()
    pods: list[str] = []
    services: list[str] = []

    async def list_all() -> None:
        await client.raw(f"/api/v1/namespaces/{namespace}/events")

    async def churn(names: list[str], most: int, kind: Any, make: Callable[[str], Any]) -> None:  # noqa: ANN401 - either kind
        if len(names) >= most:
            await asyncio.sleep(1)
            gone = names.pop(random.randrange(len(names)))  # noqa: S311 - no secret
            await client.delete(kind, gone, namespace)
        name = f"h-{next(numbers)}"
        await client.create(make(name))
        names.append(name)

    async with asyncio.TaskGroup() as group:
        for _ in range(_LISTS):
            group.create_task(_forever(counts, "lists", list_all))
        for _ in range(_EVENTS):
            group.create_task(_forever(counts, "events", lambda: client.create(event(namespace))))
        group.create_task(
            _forever(
                counts,
                "pods",
                lambda: churn(pods, _PODS, Pod, lambda name: small_pod(name, namespace)),
            )
        )
        group.create_task(
            _forever(
                counts,
                "load balancers",
                lambda: churn(services, _SERVICES, Service, lambda name: balancer(name, namespace)),
            )
        )


async def _main(kubeconfig: Path, namespace: str) -> None:
    counts: Counter[str] = Counter()
    async with connect(kubeconfig, _USER_AGENT) as client:
        attack = asyncio.create_task(_attack(client, namespace, counts))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, attack.cancel)
        await asyncio.wait([attack])
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2]))
