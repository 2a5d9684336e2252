"""Names that are derived from other names."""

import hashlib


def machine_name(pod_uid: str) -> str:
    """Return the name of a pod's MicroVM, derived from its uid so that it cannot have two."""
    return f"mvm-{hashlib.sha256(pod_uid.encode()).hexdigest()[:10]}"
