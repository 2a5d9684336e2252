"""Which object stands for the execution role that a profile names."""

from collections.abc import Iterable

from monopod.api.resources import ExecutionRole


def role_of(arn: str, roles: Iterable[ExecutionRole]) -> ExecutionRole | None:
    """Return the role of an ARN: the oldest object, if several claim it.

    So nobody takes an ARN over by making another object for it.
    """
    of_arn = (role for role in roles if role.spec.arn == arn)
    return min(of_arn, key=_age, default=None)


def _age(role: ExecutionRole) -> tuple[bool, float, str]:
    metadata = role.metadata
    created = metadata.creationTimestamp if metadata else None
    name = (metadata.name if metadata else None) or ""
    return created is None, created.timestamp() if created else 0.0, name
