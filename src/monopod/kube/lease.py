"""Leader election by a Lease, with the rules of client-go, so that either side may be ours.

A lease is judged by how long *we* have seen it unchanged, never by comparing clocks. Whoever leads
stops on its own before another may begin.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from lightkube.models import coordination_v1 as models
from lightkube.models import meta_v1
from lightkube.resources.coordination_v1 import Lease

from monopod.kube.client import Client
from monopod.kube.errors import AlreadyExistsError, ConflictError, KubeError, NotFoundError
from monopod.kube.objects import meta

_log: Final = structlog.get_logger("lease")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds, as upstream's components have them."""

    duration_s: float = 15.0
    """How long others leave an unchanged lease alone."""
    renew_within_s: float = 10.0
    """How long a leader that cannot renew goes on; less than ``duration_s``."""
    retry_s: float = 2.0
    """The pause between looks."""


class LeaderElector:
    """One candidate for one lease."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        times: LeaseTimes | None = None,
    ) -> None:
        """Describe the candidacy.

        Args:
            client: Where the lease is.
            name: The lease's name.
            namespace: The lease's namespace.
            identity: Who we are; no other candidate may be called the same.
            times: Upstream's unless given.
        """
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._times = times or LeaseTimes()
        self._seen: tuple[object, ...] = ()
        self._seen_at = 0.0

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the lease, then lead; returns when ``lead`` returned or the lease is lost.

        ``lead`` is cancelled, and its end awaited, when the lease is lost. The lease is given back
        on the way out.
        """
        while not await self._try():  # noqa: ASYNC110 - it is the server that is asked
            await asyncio.sleep(self._times.retry_s)
        _log.info("leading", lease=self._name, identity=self._identity)
        work = asyncio.create_task(lead())
        renewal = asyncio.create_task(self._renew())
        try:
            await asyncio.wait((work, renewal), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (work, renewal):
                task.cancel()
            await asyncio.wait((work, renewal))
            await self._release()
        if not work.cancelled():
            work.result()

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._times.retry_s)
            left = renewed + self._times.renew_within_s - loop.time()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    held = await self._try()
            except TimeoutError:
                held = False
            if held:
                renewed = loop.time()
            elif loop.time() - renewed >= self._times.renew_within_s:
                _log.error("lease lost", lease=self._name, identity=self._identity)
                return

    async def _try(self) -> bool:
        try:
            return await self._acquire()
        except (ConflictError, AlreadyExistsError):
            return False
        except KubeError as error:
            _log.warning("lease not reached", lease=self._name, why=error.message)
            return False

    async def _acquire(self) -> bool:
        try:
            lease = await self._client.get(Lease, self._name, self._namespace)
        except NotFoundError:
            lease = Lease(
                metadata=meta_v1.ObjectMeta(name=self._name, namespace=self._namespace),
                spec=self._spec(None),
            )
            await self._client.create(lease)
            return True
        spec = lease.spec or models.LeaseSpec()
        if spec.holderIdentity not in (None, "", self._identity) and not self._expired(spec):
            return False
        lease.spec = self._spec(spec)
        await self._client.replace(lease)
        return True

    def _expired(self, spec: models.LeaseSpec) -> bool:
        now = asyncio.get_running_loop().time()
        seen = (spec.holderIdentity, spec.renewTime, spec.leaseTransitions)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return now - self._seen_at >= (spec.leaseDurationSeconds or self._times.duration_s)

    def _spec(self, old: models.LeaseSpec | None) -> models.LeaseSpec:
        now = _micro_time()
        mine = old is not None and old.holderIdentity == self._identity
        transitions = (old.leaseTransitions or 0) if old is not None else 0
        return models.LeaseSpec(
            holderIdentity=self._identity,
            leaseDurationSeconds=max(1, round(self._times.duration_s)),
            acquireTime=old.acquireTime if old is not None and mine else now,
            renewTime=now,
            leaseTransitions=transitions if mine or old is None else transitions + 1,
        )

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(self._times.retry_s):
                lease = await self._client.get(Lease, self._name, self._namespace)
                if lease.spec is None or lease.spec.holderIdentity != self._identity:
                    return
                lease.spec.holderIdentity = ""
                lease.spec.leaseDurationSeconds = 1
                lease.spec.renewTime = _micro_time()
                meta(lease).managedFields = None
                await self._client.replace(lease)
        except (KubeError, TimeoutError) as error:
            _log.info("lease not given back", lease=self._name, why=str(error))


def _micro_time() -> datetime:
    # The API server insists on six fractional digits, which a whole second would not print.
    now = datetime.now(UTC)
    return now if now.microsecond else now.replace(microsecond=1)
