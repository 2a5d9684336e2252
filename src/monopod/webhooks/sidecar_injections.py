"""The webhook of SidecarInjections: it refuses what would keep pods from starting.

It fails closed, as the pods' webhook relies on it. The API server itself checks the containers: a
PodTemplate with them is created in a dry run.
"""

import asyncio
from typing import Final

import msgspec

from monopod.api import keys
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    SidecarInjection,
)
from monopod.fargate.sidecars import compile_sidecars, find_faults, find_ignored, rules_of
from monopod.fargate.sidecars.template import REFUSED, WAY_OUT
from monopod.kube import Client, KubeError, make_key, meta, name_of
from monopod.webhooks.review import (
    Denial,
    Request,
    decoding_errors_as_bad_review,
    read_request,
    write_answer,
)
from monopod.webhooks.sidecar_index import EVERYWHERE, SidecarIndex
from monopod.webhooks.sidecar_lookup import SidecarLookup
from monopod.webhooks.sidecar_rehearsal import rehearse

MOST_IN_NAMESPACE: Final = 32
_TIMEOUT_S: Final = 3.0
"""Less than the webhook's timeout at the API server."""
_KINDS: Final[dict[tuple[str, str, str], type[AnyInjection]]] = {
    (keys.GROUP, keys.VERSION, "SidecarInjection"): SidecarInjection,
    (keys.GROUP, keys.VERSION, "ClusterSidecarInjection"): ClusterSidecarInjection,
}


class SidecarInjectionWebhook:
    """Reviews injections."""

    def __init__(self, client: Client, index: SidecarIndex, lookup: SidecarLookup) -> None:
        """Create the webhook.

        Args:
            client: Creates PodTemplates, in dry runs.
            index: The injections that exist.
            lookup: Expects those that are about to be stored.
        """
        self._client = client
        self._index = index
        self._lookup = lookup

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of an injection.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        request = read_request(body)
        kind = _KINDS.get(request.resource_kind)
        if kind is None or request.operation not in ("CREATE", "UPDATE"):
            return write_answer(request.uid)
        with decoding_errors_as_bad_review():
            injection = msgspec.json.decode(request.object, type=kind)
            changed = _changes_spec(request, injection)
        # What exists must remain editable, also for the garbage collector, if it is invalid.
        denial = await self._examine(request, injection) if changed else None
        if denial is not None:
            return write_answer(request.uid, denial=denial)
        if not request.dryRun:
            namespace = request.namespace or EVERYWHERE
            key = make_key(name_of(injection) or request.name, request.namespace)
            self._lookup.announce(namespace, key, meta(injection).generation or 1)
        ignored = find_ignored(injection.spec.template) if changed else []
        return write_answer(request.uid, warnings=_warnings(ignored))

    async def _examine(self, request: Request, injection: AnyInjection) -> Denial | None:
        faults = find_faults(injection.spec.template, rules_of(injection))
        if faults:
            return Denial(f"{REFUSED}{'; '.join(faults)}. {WAY_OUT}")
        there = self._index.of(request.namespace or EVERYWHERE)
        if request.operation == "CREATE" and not request.dryRun and len(there) >= MOST_IN_NAMESPACE:
            where = f"namespace {request.namespace}" if request.namespace else "the cluster"
            return Denial(
                f"{where} has {len(there)} of them, the maximum: put several containers in one"
            )
        meta(injection).namespace = request.namespace or None
        sidecars = compile_sidecars(injection)
        if sidecars is None:
            return None
        namespace = request.namespace or keys.SYSTEM_NAMESPACE
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                why = await rehearse(self._client, namespace, injection.spec.template, sidecars)
        except (KubeError, TimeoutError) as error:
            why = f"cannot check the template, try again: {str(error) or 'timed out'}"
            return Denial(why, again=True)
        return Denial(f"{REFUSED}{why}") if why else None


def _changes_spec(request: Request, injection: AnyInjection) -> bool:
    if request.operation != "UPDATE":
        return True
    return msgspec.json.decode(request.oldObject, type=type(injection)).spec != injection.spec


def _warnings(ignored: list[str]) -> list[str]:
    if not ignored:
        return []
    return [f"without effect on sidecars, which are as their pods are: {', '.join(ignored)}"[:1024]]
