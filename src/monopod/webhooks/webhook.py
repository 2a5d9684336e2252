"""The webhooks' HTTP handlers; malformed input gets 400, never a server error."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import Counter, Histogram

from monopod.api import keys
from monopod.fargate.profiles import matching_labels
from monopod.fargate.unsupported import RuntimeClasses
from monopod.kube import annotations_of, labels_of, namespace_of
from monopod.webhooks.daemon_advice import with_daemon_advice
from monopod.webhooks.manifests import (
    FINALIZER_PATH,
    NETWORKS_PATH,
    PODS_PATH,
    PROFILES_PATH,
    ROLES_PATH,
    SIDECARS_PATH,
    SUPPORT_PATH,
    TARGETS_PATH,
)
from monopod.webhooks.mutation import Mutation, Result, left_alone, mutation_of
from monopod.webhooks.networks import NetworkWebhook
from monopod.webhooks.pod_view import PodView, read_new_pod
from monopod.webhooks.pod_warnings import Finding, PodCheck, examine_pod, examine_workload
from monopod.webhooks.profile_finalizer import PROFILE, add_finalizer
from monopod.webhooks.profile_lookup import ProfileLookup, ProfileSource
from monopod.webhooks.review import BadReviewError, Denial, read_request, write_answer
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.secret_access import PATH as SECRET_ACCESS_PATH
from monopod.webhooks.secret_access import SecretAccessWebhook
from monopod.webhooks.settings import Mode
from monopod.webhooks.sidecar_injections import SidecarInjectionWebhook
from monopod.webhooks.sidecar_lookup import SidecarLookup
from monopod.webhooks.sidecar_mutation import sidecar_patch
from monopod.webhooks.target_health import TargetHealthWebhook
from monopod.webhooks.workload_review import Proposal, read_proposal

_CLAIMED: Final = frozenset({Result.CLAIMED, Result.CLAIMED_TO_WAIT})
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
    """Reviews pods, profiles and workloads, and routes other reviews to their webhooks."""

    def __init__(
        self,
        profiles: ProfileSource,
        clock: Callable[[], float] = time.monotonic,
        *,
        mode: Mode = Mode.WARN,
        one_profile_at_a_time_in: str | None = None,
        roles: RoleWebhook | None = None,
        networks: NetworkWebhook | None = None,
        targets: TargetHealthWebhook | None = None,
        secrets: SecretAccessWebhook | None = None,
        sidecars: SidecarLookup | None = None,
        injections: SidecarInjectionWebhook | None = None,
        classes: RuntimeClasses | None = None,
    ) -> None:
        """Create the webhook.

        Args:
            profiles: The source of profiles.
            clock: Seconds since some fixed moment.
            mode: Whether to warn about or reject what is unsupported.
            one_profile_at_a_time_in: The cluster's name, if only one profile may be created or
                deleted at a time; None means any number.
            roles: Reviews pods for their service account's role; None serves no such webhook.
            networks: Reviews VPCs and subnets; likewise.
            targets: Reviews pods for readiness gates; likewise.
            secrets: Authorizes reads of Secrets; likewise.
            sidecars: Looks up the sidecars of pods; None adds none.
            injections: Reviews injections; None serves no such webhook.
            classes: Looks up RuntimeClasses; None skips their check.
        """
        self._networks = networks
        self._targets = targets
        self._secrets = secrets
        self._sidecars = sidecars
        self._injections = injections
        self._roles = roles
        self._one_at_a_time_in = one_profile_at_a_time_in
        self._lookup = ProfileLookup(profiles, clock)
        self._mode = mode
        self._classes = classes

    def application(self) -> web.Application:
        """Return the HTTP application, with a route for each webhook."""
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        application.router.add_post(PODS_PATH, _handler(self.answer))
        application.router.add_post(PROFILES_PATH, _handler(self.answer))
        application.router.add_post(FINALIZER_PATH, _handler(add_finalizer))
        application.router.add_post(SUPPORT_PATH, _handler(self.examine))
        if self._roles is not None:
            application.router.add_post(ROLES_PATH, _handler(self._roles.answer))
        if self._networks is not None:
            application.router.add_post(NETWORKS_PATH, _handler(self._networks.answer))
        if self._targets is not None:
            application.router.add_post(TARGETS_PATH, _handler(self._targets.answer))
        if self._injections is not None:
            application.router.add_post(SIDECARS_PATH, _handler(self._injections.answer))
        if self._secrets is not None:
            application.router.add_post(SECRET_ACCESS_PATH, _handler(self._secrets.answer))
        return application

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod or of a profile.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        request = read_request(body)
        if request.resource_kind == PROFILE and not request.dryRun:
            deleting = request.operation == "DELETE"
            denial = await self._admit_profile(request.name, deleting=deleting)
            return write_answer(request.uid, denial=denial)
        pod = read_new_pod(request)
        mutation = (
            Mutation(Result.NOT_A_POD)
            if pod is None
            else await self._mutate(pod, request.namespace)
        )
        _REVIEWS.labels(mutation.result.value).inc()
        warnings = (mutation.warning,) if mutation.warning else ()
        return write_answer(request.uid, mutation.patch, warnings)

    async def examine(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod or workload that may be unsupported.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        proposal = read_proposal(body)
        found = await self._examine(proposal)
        _EXAMINATIONS.labels(found.finding.value).inc()
        return write_answer(proposal.uid, warnings=found.warnings, denial=found.denial)

    async def _admit_profile(self, name: str, *, deleting: bool) -> Denial | None:
        if self._one_at_a_time_in is not None:
            why = await self._lookup.blocked_by_other_profile(
                name, self._one_at_a_time_in, deleting=deleting
            )
            if why is not None:
                _REVIEWS.labels("not-its-turn").inc()
                return Denial(why)
        if not deleting:
            self._lookup.announce(name)
        _REVIEWS.labels(Result.NOT_A_POD.value).inc()
        return None

    async def _mutate(self, pod: PodView, namespace: str) -> Mutation:
        left = left_alone(pod.spec)
        if left is not None:
            return Mutation(left)
        labels = matching_labels(pod.labels, pod.spec.runtimeClassName)
        choice = await self._lookup.choose(namespace, labels, pod.annotations)
        mutation = mutation_of(pod, choice)
        if self._sidecars is None or mutation.result not in _CLAIMED or pod.is_daemon:
            return mutation
        try:
            profile = {keys.PROFILE_LABEL: choice.profile} if choice.profile else {}
            chosen = await self._sidecars.choose(namespace, {**profile, **pod.labels})
            sidecars = sidecar_patch(pod, chosen)
        except Exception:
            # A pod without its sidecars is better than one that is not marked for Fargate.
            _log.exception("sidecars_failed", namespace=namespace)
            return mutation
        return replace(mutation, patch=(*mutation.patch, *sidecars))

    async def _examine(self, proposal: Proposal) -> PodCheck:
        pod = proposal.pod
        if pod is None or pod.spec is None:
            return PodCheck(Finding.NOT_OURS)
        if proposal.workload is None:
            return examine_pod(proposal, self._mode, self._classes)
        if left_alone(pod.spec) is not None:
            return with_daemon_advice(proposal, PodCheck(Finding.NOT_OURS))
        labels = matching_labels(labels_of(pod), pod.spec.runtimeClassName)
        choice = await self._lookup.choose(namespace_of(pod), labels, annotations_of(pod))
        found = examine_workload(proposal, choice, self._mode, self._classes)
        return with_daemon_advice(proposal, found)


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
