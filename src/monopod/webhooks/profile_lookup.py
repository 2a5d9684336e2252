"""Which profile a pod or a workload's pods start under, asked at the right moment."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from monopod.api.resources import FargateProfile
from monopod.fargate.profiles import Choice, Outcome, blocked_by_other_profile, choose_profile
from monopod.kube import KubeError, meta
from monopod.webhooks.expectations import ExpectedProfiles

_READ_TIMEOUT_S: Final = 1.0
"""Much less than the API server waits for us."""
_log: Final = structlog.get_logger("webhook")


class ProfileSource(Protocol):
    """Where profiles come from."""

    def known(self) -> Sequence[FargateProfile]:
        """Return all profiles as last heard of."""
        ...

    async def read(self) -> Sequence[FargateProfile]:
        """Ask the API server for all profiles as they are now.

        Raises:
            KubeError: It does not answer.
        """
        ...


class ProfileLookup:
    """Chooses from the known profiles, or from all there are if some may be unknown."""

    def __init__(
        self, profiles: ProfileSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._profiles = profiles
        self._expected = ExpectedProfiles(clock)

    def announce(self, name: str) -> None:
        """Note a profile that the API server may be about to store."""
        self._expected.announce(name)

    async def blocked_by_other_profile(
        self, name: str, cluster: str, *, deleting: bool
    ) -> str | None:
        """Return why a profile may not be created or deleted while others are; None if it may."""
        every = await self.newest()
        announced = self._expected.announced({meta(each).name or "" for each in every})
        return blocked_by_other_profile(
            name, every, cluster=cluster, deleting=deleting, announced=announced
        )

    async def choose(
        self, namespace: str, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> Choice:
        """Return the profile of pods like this, or why they have none."""
        known = self._profiles.known()
        choice = choose_profile(known, namespace, labels, annotations)
        if choice.outcome in (Outcome.CHOSEN, Outcome.OPTED_OUT):
            return choice
        if not self._expected.outstanding({meta(each).name or "" for each in known}):
            return choice
        return choose_profile(await self.newest(), namespace, labels, annotations)

    async def newest(self) -> Sequence[FargateProfile]:
        """Return all profiles there are; the known ones if the API server does not answer."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return await self._profiles.read()
        except (KubeError, TimeoutError) as error:
            _log.warning("profiles not read", why=str(error))
            return self._profiles.known()
