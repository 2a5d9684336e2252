"""Names that follow from other names."""

import hashlib


def machine_name(pod_uid: str) -> str:
    """Return the name of a pod's machine: derived, so that a pod can never get two."""
    return f"mvm-{hashlib.sha256(pod_uid.encode()).hexdigest()[:10]}"
