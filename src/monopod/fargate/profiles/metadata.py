"""Accessors for object metadata, which may be missing."""

from monopod.api.resources import ExecutionRole, FargateProfile, Subnet, Vpc

_Named = ExecutionRole | FargateProfile | Subnet | Vpc


def name_of(named: _Named) -> str:
    """Return an object's name; an object without one has the empty name."""
    return (named.metadata.name if named.metadata else None) or ""


def age_of(named: _Named) -> tuple[bool, float, str]:
    """Return a sort key: oldest first, objects not created yet last, then by name."""
    created = named.metadata.creationTimestamp if named.metadata else None
    return created is None, created.timestamp() if created else 0.0, name_of(named)
