"""Resolves the ExecutionRole of a profile's ``podExecutionRoleArn``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from monopod.api.resources import ExecutionRole, FargateProfile
from monopod.fargate.profiles.metadata import age_of

_NOT_ASSUMED: Final = (
    "Failed to assume PodExecutionRole; Please make sure the role exists and trusts the"
    " eks-fargate-pods.amazonaws.com service principal"
)
"""AWS's text for any problem with the role."""


def role_of(arn: str, roles: Iterable[ExecutionRole]) -> ExecutionRole | None:
    """Return the role with an ARN: the oldest object, if several have it.

    An ARN cannot be hijacked by creating another object with it.
    """
    of_arn = (role for role in roles if role.spec.arn == arn)
    return min(of_arn, key=age_of, default=None)


@dataclass(frozen=True, slots=True)
class KnownRoles:
    """All execution roles, and whether a profile must have one of them."""

    roles: Sequence[ExecutionRole] = ()
    required: bool = False
    """If False, pods of a profile whose role is unknown run without any permissions."""

    def of(self, profile: FargateProfile) -> ExecutionRole | None:
        """Return a profile's role."""
        return role_of(profile.spec.podExecutionRoleArn, self.roles)

    def trouble(self, profile: FargateProfile) -> str:
        """Return why a profile's pods may not start, as one phrase; empty if they may."""
        return _NOT_ASSUMED if self.required and self.of(profile) is None else ""
