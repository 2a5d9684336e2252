"""The webhooks' HTTP side: a question, an answer, never a server error for bad input."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from aiohttp import web
from prometheus_client import Counter, Histogram

from monopod.admission.expected import ExpectedProfiles
from monopod.admission.manifests import PODS_PATH, PROFILES_PATH
from monopod.admission.mutation import Mutation, Result, mutation_of, not_ours
from monopod.admission.review import BadReviewError, PodFacts, read_review, write_answer
from monopod.api.resources import FargateProfile
from monopod.kube import KubeError, meta
from monopod.profiles import Choice, Outcome, choose_profile

_MAX_BODY_BYTES: Final = 16 << 20
"""The API server's limit for one object is 3 MiB; a review may hold it twice, and escaped."""
_READ_TIMEOUT_S: Final = 1.0
"""Much less than the API server waits for us."""
_REVIEWS: Final = Counter("monopod_admission_reviews_total", "Reviews, by result.", ["result"])
_SECONDS: Final = Histogram(
    "monopod_admission_review_seconds",
    "Time taken by reviews.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
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


class Webhook:
    """Answers the API server."""

    def __init__(
        self, profiles: ProfileSource, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._profiles = profiles
        self._expected = ExpectedProfiles(clock)

    def application(self) -> web.Application:
        """Return what the HTTP server serves."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_post(PODS_PATH, self._handle)
        application.router.add_post(PROFILES_PATH, self._handle)
        return application

    async def _handle(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        try:
            body = await self.answer(await request.read())
        except (BadReviewError, web.RequestPayloadError) as error:
            _REVIEWS.labels("malformed").inc()
            _log.warning("malformed review", why=str(error))
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        _SECONDS.observe(time.perf_counter() - began)
        return web.Response(body=body, content_type="application/json")

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview.

        Raises:
            BadReviewError: It is none.
        """
        review = read_review(body)
        if review.profile is not None:
            self._expected.announce(review.profile)
        pod = review.pod
        mutation = Mutation(Result.NOT_A_POD) if pod is None else await self._decide(pod)
        _REVIEWS.labels(mutation.result.value).inc()
        return write_answer(review.uid, mutation.patch, mutation.warning)

    async def _decide(self, pod: PodFacts) -> Mutation:
        left = not_ours(pod)
        return Mutation(left) if left is not None else mutation_of(pod, await self._choose(pod))

    async def _choose(self, pod: PodFacts) -> Choice:
        known = self._profiles.known()
        choice = _choose(known, pod)
        if choice.outcome in (Outcome.CHOSEN, Outcome.OPTED_OUT):
            return choice
        if not self._expected.outstanding({meta(each).name or "" for each in known}):
            return choice
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                return _choose(await self._profiles.read(), pod)
        except (KubeError, TimeoutError) as error:
            _log.warning("profiles not read", why=str(error))
            return choice


def _choose(profiles: Sequence[FargateProfile], pod: PodFacts) -> Choice:
    return choose_profile(profiles, pod.namespace, pod.labels, pod.annotations)
