"""Looks up the profile of a pod or of a workload's pods, from a cache that may lag."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from monopod.api.resources import FargateProfile
from monopod.fargate.profiles import Choice, Outcome, blocked_by_other_profile, choose_profile
from monopod.kube import KubeError, name_of
from monopod.webhooks.expectations import Expectations

_READ_TIMEOUT_S: Final = 1.0
"""Much less than the webhook's timeout at the API server."""
_log: Final = structlog.get_logger("webhook")


class ProfileSource(Protocol):
    """A source of profiles."""

    def known(self) -> Sequence[FargateProfile]:
        """Return all profiles in the informer's cache."""
        ...

    async def read(self) -> Sequence[FargateProfile]:
        """List all profiles from the API server.

        Raises:
            KubeError: The list failed.
        """
        ...


class ProfileLookup:
    """Matches against cached profiles, or lists them if the cache may be incomplete."""

    def __init__(
        self, profiles: ProfileSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._profiles = profiles
        self._expected = Expectations(clock)

    def announce(self, name: str) -> None:
        """Note a profile that the API server may be about to store."""
        self._expected.announce(name)

    async def blocked_by_other_profile(
        self, name: str, cluster: str, *, deleting: bool
    ) -> str | None:
        """Return why a profile may not be created or deleted now; None if it may."""
        every = await self.newest()
        announced = self._expected.announced(_names(every))
        return blocked_by_other_profile(
            name, every, cluster=cluster, deleting=deleting, announced=announced
        )

    async def choose(
        self, namespace: str, labels: Mapping[str, str], annotations: Mapping[str, str]
    ) -> Choice:
        """Return the profile of pods with this metadata, or why they have none."""
        known = self._profiles.known()
        choice = choose_profile(known, namespace, labels, annotations)
        if choice.outcome in (Outcome.CHOSEN, Outcome.OPTED_OUT):
            return choice
        if not self._expected.outstanding(_names(known)):
            return choice
        return choose_profile(await self.newest(), namespace, labels, annotations)

    async def newest(self) -> Sequence[FargateProfile]:
        """List all profiles; falls back to the cached ones if the API server fails."""
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return await self._profiles.read()
        except (KubeError, TimeoutError) as error:
            _log.warning("profile_list_failed", why=str(error))
            return self._profiles.known()


def _names(profiles: Sequence[FargateProfile]) -> dict[str, int]:
    # A profile is matched by what is immutable: any generation of it will do.
    return dict.fromkeys(map(name_of, profiles), 0)
