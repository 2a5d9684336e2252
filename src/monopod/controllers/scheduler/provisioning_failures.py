"""Counts a pod's failed machines in an annotation on the pod, with exponential back-off.

The MicroVM of a failed start is deleted with its status; the pod persists.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from lightkube.resources.core_v1 import Pod

from monopod.api import keys
from monopod.kube import annotations_of

ANNOTATION: Final = keys.FAILURES_ANNOTATION
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Failures:
    """A pod's consecutive provisioning failures."""

    attempts: int
    """Machines that failed."""
    machine: str
    """uid of the last of them, so that each is counted once."""
    retry_at: datetime
    """When the next may be created."""

    def encode(self) -> str:
        """Return the annotation's value."""
        return msgspec.json.encode(self).decode()

    def wait_s(self, now: datetime) -> float:
        """Return the seconds until the next machine may be created; 0 or less if that is now."""
        return (self.retry_at - now).total_seconds()


def failures_of(pod: Pod) -> Failures | None:
    """Read a pod's annotation; None if it is absent or malformed."""
    try:
        failures = msgspec.json.decode(annotations_of(pod).get(ANNOTATION, ""), type=Failures)
    except msgspec.DecodeError:
        return None
    # A user may have written it without a time zone; such a time cannot be compared.
    if failures.retry_at.tzinfo is None:
        return None
    return failures


def after_failure(before: Failures | None, machine: str, now: datetime) -> Failures:
    """Count one more failed machine; the back-off doubles from 1 s up to 5 min."""
    attempts = before.attempts + 1 if before and before.attempts > 0 else 1
    pause_s = min(_LONGEST_S, _FIRST_S * 2 ** min(attempts - 1, 16))
    return Failures(attempts, machine, now.astimezone(UTC) + timedelta(seconds=pause_s))
