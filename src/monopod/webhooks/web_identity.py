"""Roles for service accounts: what a pod gets whose service account is annotated with a role.

The same as from EKS's webhook (source: EKS user guide, "IAM roles for service accounts", and the
README of amazon-eks-pod-identity-webhook): a projected token for the audience of the role's
provider, and the environment variables that every AWS SDK reads. No I/O.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.webhooks.pod_view import ContainerView, PodView
from monopod.webhooks.review import Operation, append

PREFIX: Final = "eks.amazonaws.com/"
DEFAULT_AUDIENCE: Final = "sts.amazonaws.com"
DEFAULT_EXPIRATION_S: Final = 86_400
LEAST_EXPIRATION_S: Final = 600
_MOST_EXPIRATION_S: Final = 1 << 32
"""The API server's limits for a projected token."""
SKIPPED_CONTAINERS: Final = f"{PREFIX}skip-containers"
"""On a pod: names of containers that get no role, separated by commas."""
VOLUME: Final = "aws-iam-token"
DIRECTORY: Final = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
TOKEN: Final = f"{DIRECTORY}/token"


@dataclass(frozen=True, slots=True)
class Role:
    """The role in a service account's annotations."""

    arn: str
    audience: str = DEFAULT_AUDIENCE
    expiration_s: int = DEFAULT_EXPIRATION_S
    regional: bool = True
    """Whether SDKs call the STS of their region."""


def role_of(annotations: Mapping[str, str] | None) -> Role | None:
    """Return the role in a service account's annotations; None if they name none.

    Invalid values count as absent, as on AWS: the pod's author cannot correct them.
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


def grant(pod: PodView, role: Role, region: str = "") -> Sequence[Operation]:
    """Return the patch that adds the token and the environment variables of a role.

    Variables, volumes of that name and mounts at that path that the pod already has are kept.
    Annotations of the pod may skip containers and set the token's lifetime.

    Args:
        pod: As received; the service account admission plugin has already mounted its token.
        role: The role of its service account.
        region: Set as ``AWS_REGION`` and ``AWS_DEFAULT_REGION``; empty sets neither.
    """
    spec, annotations = pod.spec, pod.annotations
    skipped = {each.strip() for each in annotations.get(SKIPPED_CONTAINERS, "").split(",") if each}
    variables = _variables(role, region)
    lists = (("initContainers", spec.initContainers), ("containers", spec.containers))
    changes = [
        change
        for kind, containers in lists
        for index, container in enumerate(containers or ())
        if container.name not in skipped
        for change in _grant_one(f"/spec/{kind}/{index}", container, variables)
    ]
    if changes and VOLUME not in {each.name for each in spec.volumes or ()}:
        token = {
            "audience": role.audience,
            "expirationSeconds": _expiration(annotations, role.expiration_s),
            "path": "token",
        }
        sources = [{"serviceAccountToken": token}]
        volume = {"name": VOLUME, "projected": {"sources": sources}}
        changes += append("/spec/volumes", spec.volumes, [volume])
    return changes


def _grant_one(
    path: str, container: ContainerView, variables: Mapping[str, str]
) -> Generator[Operation]:
    own = {each.name for each in container.env or ()}
    added = [{"name": name, "value": text} for name, text in variables.items() if name not in own]
    if added:
        yield from append(f"{path}/env", container.env, added)
    if DIRECTORY not in {each.mountPath.rstrip("/") for each in container.volumeMounts or ()}:
        mount = {"name": VOLUME, "mountPath": DIRECTORY, "readOnly": True}
        yield from append(f"{path}/volumeMounts", container.volumeMounts, [mount])


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
