"""How often a pod's machines have failed, kept on the pod so that it survives everything else.

The MicroVM of a failed start is deleted, and with it its status; the pod stays.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from lightkube.resources.core_v1 import Pod

ANNOTATION: Final = "monopod.dev/provisioning-failures"
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Failures:
    """The row of failures of one pod."""

    attempts: int
    """Machines that failed."""
    machine: str
    """uid of the last of them, so that none is counted twice."""
    retry_at: datetime
    """When the next may be made."""

    def encode(self) -> str:
        """Write it as the annotation's value."""
        return msgspec.json.encode(self).decode()

    def wait_s(self, now: datetime) -> float:
        """Return the seconds until the next machine may be made; 0 or less if it may be now."""
        return (self.retry_at - now).total_seconds()


def failures_of(pod: Pod) -> Failures | None:
    """Read a pod's annotation; one that nobody can make sense of counts as none."""
    annotations = (pod.metadata.annotations if pod.metadata else None) or {}
    try:
        failures = msgspec.json.decode(annotations.get(ANNOTATION, ""), type=Failures)
    except msgspec.DecodeError:
        return None
    # A hand may have written it without a time zone, and then it cannot be compared.
    if failures.retry_at.tzinfo is None:
        return None
    return failures


def after_failure(before: Failures | None, machine: str, now: datetime) -> Failures:
    """Count one more failed machine: the pause doubles each time, from 1 s up to 5 min."""
    attempts = before.attempts + 1 if before and before.attempts > 0 else 1
    pause_s = min(_LONGEST_S, _FIRST_S * 2 ** min(attempts - 1, 16))
    return Failures(attempts, machine, now.astimezone(UTC) + timedelta(seconds=pause_s))
