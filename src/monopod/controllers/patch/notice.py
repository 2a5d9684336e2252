"""The notice of a failed eviction, exactly as AWS has it on EventBridge, in a CloudEvent. Pure.

Source: EKS user guide, "Set actions for AWS Fargate OS patching events" (the sample event);
CloudEvents 1.0, JSON format, structured mode.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from monopod.api.patch_campaigns import PatchNotice
from monopod.controllers.patch.times import aws_time, parse_time

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
BUDGET: Final = "Cannot evict pod as it would violate the pod's disruption budget"
SEVERAL_BUDGETS: Final = (
    "This pod has multiple PodDisruptionBudget, which the eviction subresource does not support"
)
"""AWS's two texts of ``evictErrorMessage``."""
_SOURCE: Final = "aws.eks"
_TYPE: Final = "EKS Fargate Pod Scheduled Termination"


@dataclass(frozen=True, slots=True)
class Origin:
    """The cluster that notices are about."""

    cluster: str
    account: str
    region: str


def cloud_event(notice: PatchNotice, deadline: datetime, origin: Origin) -> dict[str, Any]:
    """Return the CloudEvent of a notice; its data is the event as EventBridge delivers it."""
    at = f"{parse_time(notice.time):%Y-%m-%dT%H:%M:%SZ}"
    subject = f"{notice.podNamespace}/{notice.owner}"
    return {
        "specversion": "1.0",
        "id": notice.id,
        "source": _SOURCE,
        "type": _TYPE,
        "subject": subject,
        "time": at,
        "datacontenttype": "application/json",
        "data": {
            "version": "0",
            "id": notice.id,
            "detail-type": _TYPE,
            "source": _SOURCE,
            "account": origin.account,
            "time": at,
            "region": origin.region,
            "resources": [subject],
            "detail": {
                "clusterName": origin.cluster,
                "fargateProfileName": notice.profile,
                "podName": notice.podName,
                "podNamespace": notice.podNamespace,
                "evictErrorMessage": notice.evictErrorMessage,
                "scheduledTerminationTime": aws_time(deadline),
            },
        },
    }
