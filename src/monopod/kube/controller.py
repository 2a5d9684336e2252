"""Controller: a work queue and the workers that reconcile its keys, with back-off.

A concrete controller derives from it: its constructor subscribes to informers, its ``reconcile``
does the work, and ``Manager`` runs it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog
from prometheus_client import Counter, Gauge, Histogram

from monopod.kube.errors import ConflictError, KubeError, TransientError
from monopod.kube.objects import Key
from monopod.kube.workqueue import Clock, WorkQueue

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Reconciles one key; returns the seconds after which to requeue it, or None."""

_RUNS: Final = Counter(
    "monopod_reconcile_total", "Reconciles, by outcome.", ["controller", "result"]
)
_SECONDS: Final = Histogram("monopod_reconcile_seconds", "Time for one key.", ["controller"])
_DEPTH: Final = Gauge("monopod_queue_depth", "Keys waiting for a worker.", ["controller"])
_log: Final = structlog.get_logger("controller")


class Controller:
    """A work queue and its workers."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        workers: int = 4,
        initial: Collection[Key] = (),
        clock: Clock | None = None,
        base_s: float = 0.05,
        cap_s: float = 60.0,
    ) -> None:
        """Configure the controller; ``run`` starts it.

        Args:
            name: For logs and metrics.
            reconcile: Called for each key; never concurrently for one key.
            workers: Keys reconciled concurrently.
            initial: Keys queued from the start; see ``first_pass``.
            clock: The running event loop unless given.
            base_s: Back-off after a key's first failure, in seconds; it doubles with each.
            cap_s: The longest back-off, in seconds.
        """
        self._name = name
        self._reconcile = reconcile
        self._workers = workers
        self._queue: WorkQueue[Key] = WorkQueue(clock, base_s=base_s, cap_s=cap_s)
        self.first_pass = asyncio.Event()
        """Set once every initial key has been reconciled without an error."""
        self._initial = set(initial)
        for key in initial:
            self._queue.add(key)
        if not initial:
            self.first_pass.set()
        _DEPTH.labels(name).set_function(self._queue.__len__)

    @property
    def idle(self) -> bool:
        """Whether no key is queued, delayed or being reconciled."""
        return self._queue.idle

    def enqueue(self, key: Key) -> None:
        """Add a key to the work queue."""
        self._queue.add(key)

    async def run(self) -> None:
        """Run the workers until cancelled."""
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
            log.warning("reconcile_unavailable", why=error.message, pause_s=round(pause, 2))
            return "transient"
        except ConflictError as error:
            # Another client wrote first; our cache receives its change soon.
            pause = self._queue.retry(key)
            log.info("reconcile_conflict", why=error.message, pause_s=round(pause, 2))
            return "conflict"
        except KubeError as error:
            pause = round(self._queue.retry(key), 2)
            log.error("reconcile_rejected", why=error.message, reason=error.reason, pause_s=pause)
            return "refused"
        except Exception:
            pause = self._queue.retry(key)
            log.exception("reconcile_failed", pause_s=round(pause, 2))
            return "failed"
        self._queue.forget(key)
        self._initial.discard(key)
        if not self._initial:
            self.first_pass.set()
        if again_s is not None:
            self._queue.add_after(key, again_s)
        return "ok"
