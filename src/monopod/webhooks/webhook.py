"""The webhooks' HTTP handlers; malformed input gets 400, never a server error."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import Counter, Histogram

from monopod.fargate.unsupported import RuntimeClasses
from monopod.webhooks.manifests import (
    NETWORKS_PATH,
    PODS_PATH,
    PROFILES_PATH,
    ROLES_PATH,
    SUPPORT_PATH,
    TARGETS_PATH,
)
from monopod.webhooks.mutation import Mutation, Result, mutation_of, not_ours
from monopod.webhooks.networks import NetworkWebhook
from monopod.webhooks.pod_warnings import Finding, PodCheck, examine_pod, examine_workload
from monopod.webhooks.profile_lookup import ProfileLookup, ProfileSource
from monopod.webhooks.review import BadReviewError, Denial, PodView, read_review, write_answer
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.settings import Mode
from monopod.webhooks.target_health import TargetHealthWebhook
from monopod.webhooks.workload_review import Proposal, read_proposal

_MAX_BODY_BYTES: Final = 16 << 20
"""The API server's limit for one object is 3 MiB; a review may hold it twice, and escaped."""
_REVIEWS: Final = Counter("monopod_admission_reviews_total", "Reviews, by result.", ["result"])
_EXAMINATIONS: Final = Counter(
    "monopod_admission_examinations_total", "Pods and workloads examined, by finding.", ["finding"]
)
_SECONDS: Final = Histogram(
    "monopod_admission_review_seconds",
    "Time taken by reviews.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
_log: Final = structlog.get_logger("webhook")


class Webhook:
    """Answers the API server."""

    def __init__(
        self,
        profiles: ProfileSource,
        clock: Callable[[], float] = time.monotonic,
        *,
        mode: Mode = Mode.WARN,
        in_turn_of: str | None = None,
        roles: RoleWebhook | None = None,
        networks: NetworkWebhook | None = None,
        targets: TargetHealthWebhook | None = None,
        classes: RuntimeClasses | None = None,
    ) -> None:
        """Answer by these profiles.

        Args:
            profiles: Where profiles come from.
            clock: Seconds since some fixed moment.
            mode: What becomes of what Fargate does not run.
            in_turn_of: Name of the cluster, if its profiles come and go one at a time.
            roles: Answers for service accounts' roles, if they are given to pods.
            targets: Answers for readiness gates, if pods get them.
            networks: Answers for VPCs and subnets, if they are held against each other.
            classes: Where to look up RuntimeClasses; None leaves them unjudged.
        """
        self._networks = networks
        self._targets = targets
        self._roles = roles
        self._in_turn_of = in_turn_of
        self._chooser = ProfileLookup(profiles, clock)
        self._mode = mode
        self._classes = classes

    def application(self) -> web.Application:
        """Return what the HTTP server serves."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_post(PODS_PATH, _handler(self.answer))
        application.router.add_post(PROFILES_PATH, _handler(self.answer))
        application.router.add_post(SUPPORT_PATH, _handler(self.examine))
        if self._roles is not None:
            application.router.add_post(ROLES_PATH, _handler(self._roles.answer))
        if self._networks is not None:
            application.router.add_post(NETWORKS_PATH, _handler(self._networks.answer))
        if self._targets is not None:
            application.router.add_post(TARGETS_PATH, _handler(self._targets.answer))
        return application

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod, or of a profile.

        Raises:
            BadReviewError: It is none.
        """
        review = read_review(body)
        if review.profile is not None:
            denial = await self._admit_profile(review.profile, deleting=review.deleting)
            return write_answer(review.uid, denial=denial)
        pod = review.pod
        mutation = Mutation(Result.NOT_A_POD) if pod is None else await self._decide(pod)
        _REVIEWS.labels(mutation.result.value).inc()
        warnings = (mutation.warning,) if mutation.warning else ()
        return write_answer(review.uid, mutation.patch, warnings)

    async def examine(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of what may not be supported.

        Raises:
            BadReviewError: It is none.
        """
        proposal = read_proposal(body)
        found = await self._examine(proposal)
        _EXAMINATIONS.labels(found.finding.value).inc()
        return write_answer(proposal.uid, warnings=found.warnings, denial=found.denial)

    async def _admit_profile(self, name: str, *, deleting: bool) -> Denial | None:
        if self._in_turn_of is not None:
            why = await self._chooser.blocked_by_other_profile(
                name, self._in_turn_of, deleting=deleting
            )
            if why is not None:
                _REVIEWS.labels("not-its-turn").inc()
                return Denial(why)
        if not deleting:
            self._chooser.announce(name)
        _REVIEWS.labels(Result.NOT_A_POD.value).inc()
        return None

    async def _decide(self, pod: PodView) -> Mutation:
        left = not_ours(pod)
        if left is not None:
            return Mutation(left)
        choice = await self._chooser.choose(pod.namespace, pod.labels, pod.annotations)
        return mutation_of(pod, choice)

    async def _examine(self, proposal: Proposal) -> PodCheck:
        if proposal.workload is None:
            return examine_pod(proposal, self._mode, self._classes)
        facts = proposal.facts
        if not_ours(facts) is not None:
            return PodCheck(Finding.NOT_OURS)
        choice = await self._chooser.choose(facts.namespace, facts.labels, facts.annotations)
        return examine_workload(proposal, choice, self._mode, self._classes)


def _handler(answer: Callable[[bytes], Awaitable[bytes]]) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        try:
            body = await answer(await request.read())
        except (BadReviewError, web.RequestPayloadError) as error:
            _REVIEWS.labels("malformed").inc()
            _log.warning("admission_review_malformed", why=str(error))
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        _SECONDS.observe(time.perf_counter() - began)
        return web.Response(body=body, content_type="application/json")

    return handle
