"""Roles for service accounts: what a pod gets whose service account is annotated with a role.

As the webhook of EKS does (source: EKS user guide, "IAM roles for service accounts", and the README
of amazon-eks-pod-identity-webhook): a projected token for the audience that the role's provider
expects, and the environment variables by which every AWS SDK finds it. Pure.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from monopod.webhooks.review import Operation

PREFIX: Final = "eks.amazonaws.com/"
DEFAULT_AUDIENCE: Final = "sts.amazonaws.com"
DEFAULT_EXPIRATION_S: Final = 86_400
LEAST_EXPIRATION_S: Final = 600
_MOST_EXPIRATION_S: Final = 1 << 32
"""What the API server demands of a projected token."""
VOLUME: Final = "aws-iam-token"
DIRECTORY: Final = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
TOKEN: Final = f"{DIRECTORY}/token"


@dataclass(frozen=True, slots=True)
class Role:
    """What a service account's annotations say."""

    arn: str
    audience: str = DEFAULT_AUDIENCE
    expiration_s: int = DEFAULT_EXPIRATION_S
    regional: bool = True
    """Whether SDKs call the STS of their region."""


class Named(msgspec.Struct):
    """Something that has a name."""

    name: str = ""


class Mount(msgspec.Struct):
    """Where a container has a volume."""

    mountPath: str = ""  # noqa: N815


class ContainerView(msgspec.Struct):
    """What of a container decides what is added to it."""

    name: str = ""
    env: list[Named] | None = None
    volumeMounts: list[Mount] | None = None  # noqa: N815


class PodSpecView(msgspec.Struct):
    """What of a pod decides what is added to it."""

    containers: list[ContainerView] = []
    initContainers: list[ContainerView] | None = None  # noqa: N815
    volumes: list[Named] | None = None
    serviceAccountName: str | None = None  # noqa: N815


def role_of(annotations: Mapping[str, str] | None) -> Role | None:
    """Return the role that a service account's annotations name, if they do.

    A word that cannot be understood counts as if it were not there, as on AWS: the account's owner
    is nobody whom a pod's creation could tell.
    """
    said = annotations or {}
    arn = said.get(f"{PREFIX}role-arn", "").strip()
    if not arn:
        return None
    return Role(
        arn,
        said.get(f"{PREFIX}audience", "").strip() or DEFAULT_AUDIENCE,
        _expiration(said, DEFAULT_EXPIRATION_S),
        said.get(f"{PREFIX}sts-regional-endpoints", "").strip().lower() != "false",
    )


def grant(
    pod: PodSpecView, annotations: Mapping[str, str], role: Role, region: str = ""
) -> Sequence[Operation]:
    """Return the patch that gives a pod what its role needs.

    What the pod's author has set stays: a variable, a volume of that name, a mount at that place.

    Args:
        pod: As it was sent, its service account's token already mounted.
        annotations: The pod's; they may skip containers and ask for another lifetime.
        role: Its service account's.
        region: Set as ``AWS_REGION`` and ``AWS_DEFAULT_REGION`` if not empty.
    """
    skipped = {
        each.strip() for each in annotations.get(f"{PREFIX}skip-containers", "").split(",") if each
    }
    variables = _variables(role, region)
    lists = (("initContainers", pod.initContainers or []), ("containers", pod.containers))
    changes = [
        change
        for kind, containers in lists
        for index, container in enumerate(containers)
        if container.name not in skipped
        for change in _grant_one(f"/spec/{kind}/{index}", container, variables)
    ]
    if changes and VOLUME not in {each.name for each in pod.volumes or ()}:
        token = {
            "audience": role.audience,
            "expirationSeconds": _expiration(annotations, role.expiration_s),
            "path": "token",
        }
        sources = [{"serviceAccountToken": token}]
        volume = {"name": VOLUME, "projected": {"sources": sources}}
        changes += _append("/spec/volumes", pod.volumes, [volume])
    return changes


def _grant_one(
    path: str, container: ContainerView, variables: Mapping[str, str]
) -> Generator[Operation]:
    own = {each.name for each in container.env or ()}
    added = [{"name": name, "value": text} for name, text in variables.items() if name not in own]
    if added:
        yield from _append(f"{path}/env", container.env, added)
    if DIRECTORY not in {each.mountPath.rstrip("/") for each in container.volumeMounts or ()}:
        mount = {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}
        yield from _append(f"{path}/volumeMounts", container.volumeMounts, [mount])


def _append(
    path: str, present: Sequence[object] | None, added: Sequence[object]
) -> Sequence[Operation]:
    """Add to the end of a list, which may not be there."""
    if not present:
        return [{"op": "add", "path": path, "value": added}]
    return [{"op": "add", "path": f"{path}/-", "value": each} for each in added]


def _variables(role: Role, region: str) -> Mapping[str, str]:
    regions = {"AWS_DEFAULT_REGION": region, "AWS_REGION": region} if region else {}
    endpoints = "regional" if role.regional else "legacy"
    return {
        "AWS_STS_REGIONAL_ENDPOINTS": endpoints,
        **regions,
        "AWS_ROLE_ARN": role.arn,
        "AWS_WEB_IDENTITY_TOKEN_FILE": TOKEN,
    }


def _expiration(annotations: Mapping[str, str], default_s: int) -> int:
    text = annotations.get(f"{PREFIX}token-expiration", "").strip()
    if not text.isascii() or not text.isdigit():
        return default_s
    return min(max(LEAST_EXPIRATION_S, int(text)), _MOST_EXPIRATION_S)
