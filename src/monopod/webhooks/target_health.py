"""The webhook of readiness gates: pods that load balancers will have as targets wait for them.

It is asked only in namespaces that want it by AWS's label. Source: the guide of AWS's load balancer
controller, "Pod readiness gate".
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog
from lightkube.resources.core_v1 import Service

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.api.target_groups import TargetGroupBinding
from monopod.kube import Client, KubeError, meta
from monopod.webhooks.review import (
    Operation,
    decoding_errors_as_bad_review,
    read_request,
    write_answer,
)

_READ_TIMEOUT_S: Final = 8.0
"""Less than the webhook's timeout at the API server."""
_log: Final = structlog.get_logger("webhook")


class _Gate(msgspec.Struct):
    conditionType: str  # noqa: N815


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Spec(msgspec.Struct):
    readinessGates: list[_Gate] | None = None  # noqa: N815


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


_pods: Final = msgspec.json.Decoder(_Pod | None)


class TargetHealthWebhook:
    """Answers the API server about pods."""

    def __init__(self, client: Client) -> None:
        """Read by this client what target groups there are."""
        self._client = client

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod.

        Raises:
            BadReviewError: It is none.
        """
        request = read_request(body)
        if request.kind.kind != "Pod" or request.operation != "CREATE":
            return write_answer(request.uid)
        with decoding_errors_as_bad_review():
            pod = _pods.decode(request.object)
        if pod is None:
            return write_answer(request.uid)
        try:
            async with asyncio.timeout(_READ_TIMEOUT_S):
                groups, services = await asyncio.gather(
                    self._client.list(TargetGroupBinding, request.namespace),
                    self._client.list(Service, request.namespace),
                )
        except (KubeError, TimeoutError) as error:
            _log.warning("target_group_list_failed", namespace=request.namespace, why=str(error))
            return write_answer(request.uid)
        names = gates(pod.metadata.labels or {}, groups.items, services.items)
        there = [each.conditionType for each in pod.spec.readinessGates or ()]
        return write_answer(request.uid, _patch(names, there))


def gates(
    labels: Mapping[str, str],
    groups: Sequence[TargetGroupBinding],
    services: Sequence[Service],
) -> list[str]:
    """Return the gates of a pod with these labels."""
    selecting = {
        meta(each).name
        for each in services
        if each.spec
        and each.spec.selector
        and all(labels.get(key) == value for key, value in each.spec.selector.items())
    }
    return sorted(
        f"{TARGET_HEALTH_PREFIX}{meta(each).name}"
        for each in groups
        if each.spec.serviceRef.name in selecting
    )


def _patch(names: Sequence[str], there: Sequence[str]) -> list[Operation]:
    added = [{"conditionType": name} for name in names if name not in there]
    if not added:
        return []
    if not there:
        return [{"op": "add", "path": "/spec/readinessGates", "value": added}]
    return [{"op": "add", "path": "/spec/readinessGates/-", "value": each} for each in added]
