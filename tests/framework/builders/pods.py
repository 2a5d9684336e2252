"""Pods."""

from collections.abc import Mapping
from typing import Any

import msgspec
from lightkube.resources.core_v1 import Pod

UID = "0d6f1a52-0000-0000-0000-000000000001"


def pod(
    name: str = "web-0",
    namespace: str = "shop",
    *,
    requests: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    container: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Pod:
    """A pod for Fargate with one container; ``spec`` adds or replaces fields of its spec."""
    main: dict[str, Any] = {"name": "main", "image": "none", **(container or {})}
    if requests:
        main["resources"] = {"requests": dict(requests)}
    return msgspec.convert(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": UID, **(metadata or {})},
            "spec": {"schedulerName": "fargate-scheduler", "containers": [main], **spec},
            "status": status,
        },
        Pod,
    )
