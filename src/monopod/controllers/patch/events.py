"""Events on pods. Each has a name of its campaign, pod and reason, so that it exists once."""

import contextlib
import hashlib
from datetime import datetime
from typing import Final

from lightkube.models import core_v1 as models
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

from monopod.controllers.patch.state import PodView
from monopod.kube import AlreadyExistsError, Client, EventType, ForbiddenError

COMPONENT: Final = "monopod-patch"
SCHEDULED_TERMINATION: Final = "ScheduledTermination"
EVICTION_FAILED: Final = "EvictionFailed"
_NAME_CHARS: Final = 200


async def publish(
    client: Client, campaign: str, pod: PodView, *, reason: str, message: str, now: datetime
) -> None:
    """Publish an event unless it exists: a restarted controller neither repeats nor counts it.

    Args:
        client: Writes the event.
        campaign: The campaign's uid.
        pod: The pod.
        reason: One of this module's reasons.
        message: For people.
        now: The event's time.
    """
    digest = hashlib.sha256(f"{campaign}\0{pod.uid}\0{reason}".encode()).hexdigest()[:16]
    at = now.replace(microsecond=0)
    failed = reason == EVICTION_FAILED
    event = Event(
        metadata=ObjectMeta(name=f"{pod.name[:_NAME_CHARS]}.{digest}", namespace=pod.namespace),
        involvedObject=models.ObjectReference(
            apiVersion="v1", kind="Pod", name=pod.name, namespace=pod.namespace, uid=pod.uid
        ),
        type=(EventType.WARNING if failed else EventType.NORMAL).value,
        reason=reason,
        message=message[:1024],
        source=models.EventSource(component=COMPONENT),
        reportingComponent=COMPONENT,
        firstTimestamp=at,
        lastTimestamp=at,
        count=1,
    )
    # A namespace that is being deleted takes no events.
    with contextlib.suppress(AlreadyExistsError, ForbiddenError):
        await client.create(event)
