"""The service accounts that Monopod's processes are in other clusters, in place of users. Pure.

The embedded cluster's processes are users with client certificates. Rules, admission policies and
messages name these users; in this one place their names become those of service accounts.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

from monopod.api import keys

USERS: Final = {
    "scheduler": keys.SCHEDULER_USER,
    "microvm": "monopod:microvm",
    "webhooks": keys.WEBHOOKS_USER,
    "patch": keys.PATCH_USER,
    "sidecars": keys.SIDECARS_USER,
    "policies": "monopod:policies",
}
"""The processes that run in other clusters, and their users in the embedded one, which has no
``policies``: its ``vpc`` enforces them. Its other processes belong to its network: VPC, load
balancers, EKS API, pull proxy and metrics proxy."""
SETUP: Final = "setup"
"""The service account of the jobs."""
_USER: Final = "monopod:"
Manifest = dict[str, Any]


def account(process: str) -> str:
    """Return the name of a process's service account."""
    return USERS[process].removeprefix(_USER)


def user_of(account: str) -> str:
    """Return the name that the API server gives a service account."""
    return f"system:serviceaccount:{keys.SYSTEM_NAMESPACE}:{account}"


def subject(account: str) -> Manifest:
    """Return a service account as the subject of a binding."""
    return {"kind": "ServiceAccount", "name": account, "namespace": keys.SYSTEM_NAMESPACE}


_NAMES: Final[Mapping[str, str]] = {
    user: user_of(user.removeprefix(_USER)) for user in USERS.values()
}


def renamed(manifest: Manifest) -> Manifest:
    """Return an admission policy that names service accounts wherever it named users."""
    return _renamed(copy.deepcopy(manifest))


def _renamed(value: Any) -> Any:  # noqa: ANN401 - any part of a manifest
    if isinstance(value, dict):
        return {key: _renamed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if isinstance(value, str):
        for user, name in _NAMES.items():
            value = value.replace(user, name)
    return value
