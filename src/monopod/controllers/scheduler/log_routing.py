"""The ``Logging`` annotation and event of pods; this version has no Fargate log router.

Texts are AWS's if the ConfigMap ``aws-observability/aws-logging`` does not exist (source: a
recorded audit log of EKS 1.27); ours if it does.
"""

from dataclasses import dataclass
from typing import Final

from monopod.api.messages import LOGGING_DISABLED

NAMESPACE: Final = "aws-observability"
CONFIG_MAP: Final = "aws-logging"


@dataclass(frozen=True, slots=True)
class Routing:
    """Whether a pod's logs are routed, and why not."""

    annotation: str
    """Value of the pod's ``Logging`` annotation."""
    message: str
    """The event's message."""


NOT_FOUND: Final = Routing(
    annotation=f"{LOGGING_DISABLED}: LOGGING_CONFIGMAP_NOT_FOUND",
    message=f"Disabled logging because {CONFIG_MAP} configmap was not found."
    f' configmap "{CONFIG_MAP}" not found',
)
NOT_SUPPORTED: Final = Routing(
    annotation=f"{LOGGING_DISABLED}: LOG_ROUTING_NOT_SUPPORTED",
    message=f"Disabled logging for pod because this version of Monopod does not route logs."
    f" ConfigMap {NAMESPACE}/{CONFIG_MAP} exists and is not used; read the pod's logs with"
    " kubectl logs",
)


def routing(*, configured: bool) -> Routing:
    """Return the annotation and the event's message for a pod.

    Args:
        configured: Whether the ConfigMap exists.
    """
    return NOT_SUPPORTED if configured else NOT_FOUND
