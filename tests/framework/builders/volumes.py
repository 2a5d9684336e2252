"""Persistent volumes and claims."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim

from monopod.fargate.unsupported import Storage


def claim(volume: str = "", phase: str = "Pending") -> PersistentVolumeClaim:
    return msgspec.convert(
        {"spec": {"volumeName": volume}, "status": {"phase": phase}}, PersistentVolumeClaim
    )


def volume(**source: Any) -> PersistentVolume:
    return msgspec.convert({"spec": source}, PersistentVolume)


def storage(
    claims: Mapping[str, PersistentVolumeClaim] | None = None,
    volumes: Mapping[str, PersistentVolume] | None = None,
    drivers: Iterable[str] = (),
) -> Storage:
    return Storage(
        claim=lambda namespace, name: (claims or {}).get(f"{namespace}/{name}"),
        volume=(volumes or {}).get,
        drivers=frozenset(drivers),
    )
