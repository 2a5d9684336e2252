"""Starts pods at a rate, or as fast as they start, and records when each is placed and runs."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from lightkube.resources.core_v1 import Pod

from monopod.bench.errors import BenchError
from monopod.bench.informers import following
from monopod.bench.scale.objects import NAMESPACE, scale_pod
from monopod.kube import Change, Client, Informer, make_key
from monopod.util.concurrency import run_concurrently

_STALLED_S: Final = 120.0
_CREATORS: Final = 8


@dataclass(slots=True)
class Start:
    """The times of one pod's start, by this process's clock."""

    created: float
    """When its creation was sent."""
    placed: float | None = None
    """When the scheduler's choice was in its status."""
    running: float | None = None


class Starts:
    """Creates pods and follows them."""

    def __init__(
        self,
        client: Client,
        *,
        at_once: int,
        rate: float,
        within_s: float,
        report: Callable[[int], None],
    ) -> None:
        """Configure; ``following`` starts it.

        Args:
            client: Creates pods.
            at_once: Most pods that are created and do not run yet.
            rate: Pods created per second; 0 means as many as ``at_once`` allows.
            within_s: Seconds from now after which no pod is created any more.
            report: Called with the number of running pods whenever it grows.
        """
        self._client = client
        self._slots = asyncio.Semaphore(at_once)
        self._deadline = asyncio.get_running_loop().time() + within_s
        self._report = report
        self._pause_s = 1 / rate if rate else 0.0
        self._pods = Informer(client, Pod, namespace=NAMESPACE)
        self._pods.subscribe(self._changed)
        self._started: dict[str, Start] = {}
        self._progress = asyncio.Event()
        self.running = 0

    @asynccontextmanager
    async def following(self) -> AsyncGenerator[None]:
        """Watch the pods for the length of a block."""
        async with following(self._pods):
            await self._pods.synced()
            yield

    async def up_to(self, total: int) -> list[Start]:
        """Start pods until this many run, or time is over; returns the new starts.

        Raises:
            BenchError: No pod has become Running for two minutes.
        """
        first = len(self._started)
        creating = asyncio.create_task(self._create(range(first, total)))
        creating.add_done_callback(lambda _: self._progress.set())
        try:
            while not creating.done() or self.running < len(self._started):
                if creating.done():
                    creating.result()
                self._report(self.running)
                self._progress.clear()
                async with asyncio.timeout(_STALLED_S):
                    await self._progress.wait()
        except TimeoutError:
            raise BenchError(
                f"{self.running} of {total} pods run, and none more since {_STALLED_S:.0f} s"
            ) from None
        finally:
            creating.cancel()
            await asyncio.gather(creating, return_exceptions=True)
        return list(self._started.values())[first:]

    async def _create(self, numbers: range) -> None:
        """Create pods in their order."""
        waiting = iter(enumerate(numbers))
        began = asyncio.get_running_loop().time()
        await run_concurrently(*(self._create_some(waiting, began) for _ in range(_CREATORS)))

    async def _create_some(self, waiting: Iterator[tuple[int, int]], began: float) -> None:
        loop = asyncio.get_running_loop()
        for index, number in waiting:
            await asyncio.sleep(max(0.0, began + index * self._pause_s - loop.time()))
            await self._slots.acquire()
            if loop.time() > self._deadline:
                return
            self._started[_key(number)] = Start(loop.time())
            await self._client.create(scale_pod(number))

    def _changed(self, change: Change[Pod]) -> None:
        start, status = self._started.get(change.key), change.object.status
        if start is None or status is None:
            return
        now = asyncio.get_running_loop().time()
        if start.placed is None and status.nominatedNodeName:
            start.placed = now
        if start.running is None and status.phase == "Running":
            start.running = now
            self.running += 1
            self._slots.release()
            self._progress.set()


def _key(number: int) -> str:
    return make_key(f"pod-{number:06}", NAMESPACE)
