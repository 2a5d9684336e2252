"""The webhook that adds readiness gates to pods that will be targets of load balancers.

It is called in namespaces with AWS's label only. Source: the guide of AWS's load balancer
controller, "Pod readiness gate".
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog
from lightkube.resources.core_v1 import Service

from monopod.api.keys import TARGET_HEALTH_PREFIX
from monopod.api.target_groups import TargetGroupBinding
from monopod.kube import Client, KubeError, name_of
from monopod.webhooks.pod_view import read_new_pod
from monopod.webhooks.review import Operation, append, read_request, write_answer

_READ_TIMEOUT_S: Final = 8.0
"""Less than the webhook's timeout at the API server."""
_log: Final = structlog.get_logger("webhook")


class TargetHealthWebhook:
    """Reviews new pods."""

    def __init__(self, client: Client) -> None:
        """Create the webhook; ``client`` lists target groups and services."""
        self._client = client

    async def answer(self, body: bytes) -> bytes:
        """Return the answer to an AdmissionReview of a pod.

        Raises:
            BadReviewError: The body is not an AdmissionReview.
        """
        request = read_request(body)
        pod = read_new_pod(request)
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
        names = gates(pod.labels, groups.items, services.items)
        present = [each.conditionType for each in pod.spec.readinessGates or ()]
        return write_answer(request.uid, _patch(names, present))


def gates(
    labels: Mapping[str, str],
    groups: Sequence[TargetGroupBinding],
    services: Sequence[Service],
) -> list[str]:
    """Return the readiness gates of a pod with these labels.

    Args:
        labels: The pod's labels.
        groups: All target groups of its namespace.
        services: All services of its namespace.
    """
    selecting = {
        name_of(each)
        for each in services
        if each.spec
        and each.spec.selector
        and all(labels.get(key) == value for key, value in each.spec.selector.items())
    }
    return sorted(
        f"{TARGET_HEALTH_PREFIX}{name_of(each)}"
        for each in groups
        if each.spec.serviceRef.name in selecting
    )


def _patch(names: Sequence[str], present: Sequence[str]) -> Sequence[Operation]:
    added = [{"conditionType": name} for name in names if name not in present]
    return append("/spec/readinessGates", present, added) if added else ()
