"""Nodes."""

import msgspec
from lightkube.resources.core_v1 import Node

NODE = "fargate-ip-192-168-1-9.local-1.compute.internal"


def node(name: str = NODE, ready: bool | str = True, **labels: str) -> Node:
    """A Fargate node; ``ready`` is the status of its condition."""
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "labels": labels or {"eks.amazonaws.com/compute-type": "fargate"},
            },
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        },
        Node,
    )
