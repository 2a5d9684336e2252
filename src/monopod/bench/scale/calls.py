"""API calls by caller, from the API server's audit log, which has each request once. Pure.

``apiserver_request_total`` has no caller, and callers' own counts miss what they retry silently.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

ADMIN: Final = "monopod:bench"
"""The user that creates pods and watches them."""
KUBELETS: Final = "monopod:bench-kubelets"
"""The user of all simulated kubelets."""
SCHEDULER: Final = "monopod:fargate-scheduler"
MICROVM: Final = "monopod:microvm"
MONOPOD: Final = (SCHEDULER, MICROVM)
_COMPLETE: Final = "ResponseComplete"


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """One kind of API call."""

    user: str
    verb: str
    resource: str
    """With its subresource: ``pods/status``."""


class _Object(msgspec.Struct, frozen=True):
    resource: str = ""
    subresource: str = ""


class _User(msgspec.Struct, frozen=True):
    username: str = ""


class _Event(msgspec.Struct, frozen=True):
    stage: str = ""
    verb: str = ""
    user: _User = _User()
    objectRef: _Object | None = None  # noqa: N815


_DECODER: Final = msgspec.json.Decoder(_Event)


def call_of(line: bytes) -> Call | None:
    """Return the call that a line of the audit log records; None if it records none."""
    try:
        event = _DECODER.decode(line)
    except msgspec.DecodeError:
        return None
    if event.stage != _COMPLETE or event.objectRef is None:
        return None
    of = event.objectRef
    resource = f"{of.resource}/{of.subresource}" if of.subresource else of.resource
    return Call(event.user.username, event.verb, resource)


def audit_policy() -> dict[str, Any]:
    """Return what is audited: each call of every user but the benchmark itself.

    Left out are watches, which are no calls of one start, and the renewals of Leases, whose number
    follows from their interval.
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted", "Panic"],
        "omitManagedFields": True,
        "rules": [
            {"level": "None", "users": [ADMIN]},
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "None", "verbs": ["watch"]},
            {
                "level": "None",
                "users": [KUBELETS],
                "verbs": ["update"],
                "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}],
            },
            {"level": "Metadata"},
        ],
    }
