"""Waits for load balancers of the benchmarks, and for what is behind an address."""

import asyncio
import time
from typing import Final

from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress

from monopod.bench.errors import BenchError
from monopod.bench.network.loads import Loader
from monopod.kube import Client

WITHIN_S: Final = 60.0
"""Seconds within which a load balancer must exist and have its targets."""
_POLL_S: Final = 0.2


async def balancer_address(
    client: Client, kind: type[Service] | type[Ingress], name: str, namespace: str
) -> str:
    """Return the address of a Service's or an Ingress's load balancer, once it has one.

    Raises:
        BenchError: It has none in time.
    """
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        found = (await client.get(kind, name, namespace)).status
        places = (found.loadBalancer.ingress if found and found.loadBalancer else None) or ()
        for each in places:
            if each.ip:
                return each.ip
        await asyncio.sleep(_POLL_S)
    raise BenchError(f"{kind.__name__} {name} has no load balancer after {WITHIN_S:.0f} s")


async def until_answers(loader: Loader, url: str, what: str) -> None:
    """Wait until requests to an address succeed.

    Args:
        loader: Sends the requests.
        url: The address.
        what: What is behind it, for the error.

    Raises:
        BenchError: They do not succeed in time.
    """
    deadline = time.monotonic() + WITHIN_S
    while not await loader.answers(url):
        if time.monotonic() > deadline:
            raise BenchError(f"{what} does not answer at {url}")
        await asyncio.sleep(_POLL_S)
