"""Orders objects by their age."""

from monopod.api.metadata import meta, name_of
from monopod.api.resources import ExecutionRole, FargateProfile


def age_of(obj: ExecutionRole | FargateProfile) -> tuple[bool, float, str]:
    """Return a sort key: oldest first, objects not created yet last, then by name."""
    created = meta(obj).creationTimestamp
    return created is None, created.timestamp() if created else 0.0, name_of(obj)
