"""Workers that bring the world to what each key asks for, again and again if need be."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from monopod.kube.errors import ConflictError, KubeError, TransientError
from monopod.kube.objects import Key
from monopod.kube.queue import Clock, WorkQueue

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Looks at one key and does the next thing; returns seconds after which to look again, if any."""

_RUNS: Final = Counter(
    "monopod_reconcile_total", "Keys looked at, by outcome.", ["controller", "result"]
)
_SECONDS: Final = Histogram("monopod_reconcile_seconds", "Time spent on one key.", ["controller"])
_DEPTH: Final = Gauge("monopod_queue_depth", "Keys waiting for a worker.", ["controller"])
_log: Final = structlog.get_logger("controller")


class Controller:
    """A queue of keys and the workers on it."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 4,
        clock: Clock | None = None,
        base_s: float = 0.05,
        cap_s: float = 60.0,
    ) -> None:
        """Describe the work.

        Args:
            name: For logs and metrics.
            reconcile: What is done for a key; never for the same key twice at once.
            workers: How many keys are looked at at once.
            clock: The running event loop unless given.
            base_s: The pause after a key's first failure, in seconds; it doubles with each.
            cap_s: The longest pause.
        """
        self._name = name
        self._reconcile = reconcile
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(clock, base_s=base_s, cap_s=cap_s)
        _DEPTH.labels(name).set_function(self._queue.__len__)

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting, delayed or being worked on."""
        return self._queue.idle

    def enqueue(self, key: Key) -> None:
        """Have a key looked at soon."""
        self._queue.add(key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._work())
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            started = time.perf_counter()
            try:
                result = await self._once(key)
            finally:
                self._queue.done(key)
            _RUNS.labels(self._name, result).inc()
            _SECONDS.labels(self._name).observe(time.perf_counter() - started)

    async def _once(self, key: Key) -> str:
        log = _log.bind(controller=self._name, key=key)
        try:
            again_s = await self._reconcile(key)
        except TransientError as error:
            pause = self._queue.retry(key, error.retry_after_s or 0.0)
            log.warning("try again", why=error.message, pause_s=round(pause, 2))
            return "transient"
        except ConflictError as error:
            # Somebody else wrote first, and their change is on its way to our cache.
            pause = self._queue.retry(key)
            log.info("try again", why=error.message, pause_s=round(pause, 2))
            return "conflict"
        except KubeError as error:
            pause = self._queue.retry(key)
            log.error("refused", why=error.message, reason=error.reason, pause_s=round(pause, 2))
            return "refused"
        except Exception:
            pause = self._queue.retry(key)
            log.exception("failed", pause_s=round(pause, 2))
            return "failed"
        self._queue.forget(key)
        if again_s is not None:
            self._queue.add_after(key, again_s)
        return "ok"
