"""Decides who may read metrics: the API server authenticates the token and authorizes its user.

The permission is ``get`` on the non-resource URL ``/metrics``, as for Kubernetes' own processes, so
that the ClusterRoles of Prometheus' charts have it.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from lightkube.models.authentication_v1 import TokenReviewSpec
from lightkube.models.authorization_v1 import NonResourceAttributes, SubjectAccessReviewSpec
from lightkube.resources.authentication_v1 import TokenReview
from lightkube.resources.authorization_v1 import SubjectAccessReview

from monopod.errors import MonopodError
from monopod.kube import Client

_PATH: Final = "/metrics"
_ALLOWED_S: Final = 30.0
_DENIED_S: Final = 5.0
"""How long an answer holds: a withdrawn permission counts after the first of these."""
_MOST: Final = 256
_MOST_CHARS: Final = 16_384
_BEARER: Final = "bearer"


class UnauthenticatedError(MonopodError):
    """The request has no token that the API server accepts."""


class ForbiddenError(MonopodError):
    """The token's user may not read metrics."""


class Access:
    """Asks the API server, and keeps its answers for seconds."""

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        """Describe the check.

        Args:
            client: May create TokenReviews and SubjectAccessReviews.
            clock: Monotonic seconds.
        """
        self._client = client
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, MonopodError | None]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Lock] = {}

    async def check(self, authorization: str | None) -> None:
        """Check the value of a request's ``Authorization`` header.

        Raises:
            UnauthenticatedError: It has no valid token.
            ForbiddenError: Its user may not read metrics.
            KubeError: The API server does not answer.
        """
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != _BEARER or not token or len(token) > _MOST_CHARS:
            raise UnauthenticatedError("a bearer token is required")
        # Tokens are not kept.
        key = hashlib.sha256(token.encode()).digest()
        lock = self._asking.setdefault(key, asyncio.Lock())
        try:
            # Scrapes of several processes come at once with one token: one of them asks.
            async with lock:
                denial = await self._answer(key, token)
        finally:
            if not lock.locked():
                self._asking.pop(key, None)
        if denial is not None:
            raise denial

    async def _answer(self, key: bytes, token: str) -> MonopodError | None:
        now = self._clock()
        if (known := self._known.get(key)) is not None and now < known[0]:
            return known[1]
        denial = await self._ask(token)
        self._known[key] = now + (_ALLOWED_S if denial is None else _DENIED_S), denial
        self._known.move_to_end(key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return denial

    async def _ask(self, token: str) -> MonopodError | None:
        review = await self._client.create(TokenReview(spec=TokenReviewSpec(token=token)))
        status = review.status
        if status is None or not status.authenticated or status.user is None:
            return UnauthenticatedError("the token is not valid")
        user = status.user
        spec = SubjectAccessReviewSpec(
            user=user.username,
            groups=user.groups,
            uid=user.uid,
            extra=user.extra,
            nonResourceAttributes=NonResourceAttributes(path=_PATH, verb="get"),
        )
        answer = await self._client.create(SubjectAccessReview(spec=spec))
        if answer.status is not None and answer.status.allowed:
            return None
        return ForbiddenError(f"{user.username} may not get {_PATH}")
