"""The base OCI specification of every container in a machine."""

import json
from typing import Any, Final

_SOFT: Final = 1024
_HARD: Final = 65535


def base_specification(default: str) -> str:
    """Return containerd's default OCI specification with Fargate's process limits added.

    Soft 1024 and hard 65535 for open files and processes: EKS user guide, Fargate considerations.
    """
    specification: dict[str, Any] = json.loads(default)
    specification["process"]["rlimits"] = [
        {"type": name, "soft": _SOFT, "hard": _HARD} for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC")
    ]
    return json.dumps(specification, indent=1, sort_keys=True)
