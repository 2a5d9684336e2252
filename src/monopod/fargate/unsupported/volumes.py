"""Checks volumes against an allow list, so that new types are refused by default."""

from collections.abc import Callable
from dataclasses import dataclass

from lightkube.models.core_v1 import Volume
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim


@dataclass(frozen=True, slots=True)
class Storage:
    """Looks up the current claims and volumes that a pod refers to."""

    claim: Callable[[str, str], PersistentVolumeClaim | None]
    """By namespace and name."""
    volume: Callable[[str], PersistentVolume | None]
    """By name."""
    drivers: frozenset[str] = frozenset()
    """CSI drivers built into machines."""


def volume_fault(volume: Volume, namespace: str, storage: Storage | None) -> str | None:
    """Return what is wrong with a volume, without its name; None if nothing is.

    Args:
        volume: The volume.
        namespace: The pod's namespace.
        storage: Looks up claims; None skips the check.
    """
    if volume.persistentVolumeClaim is not None:
        if storage is None:
            return None
        fault = _claim_fault(volume.persistentVolumeClaim.claimName, namespace, storage)
        return f"not supported because: {fault}" if fault else None
    medium = (volume.emptyDir.medium if volume.emptyDir else None) or ""
    if medium.startswith("HugePages"):
        return f"not supported because: medium {medium}"
    served = (
        volume.configMap,
        volume.downwardAPI,
        volume.emptyDir,
        volume.image,
        volume.projected,
        volume.secret,
    )
    if any(source is not None for source in served):
        return None
    return "is of an unsupported volume Type"


def _claim_fault(name: str, namespace: str, storage: Storage) -> str | None:
    claim = storage.claim(namespace, name)
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    bound_to = (claim.spec.volumeName if claim.spec else None) or ""
    if not bound_to or claim.status is None or claim.status.phase != "Bound":
        return f"PVC {name} not bound"
    volume = storage.volume(bound_to)
    csi = volume.spec.csi if volume is not None and volume.spec is not None else None
    if csi is None:
        return f"PVC {name} bound to invalid PV {bound_to}"
    if csi.driver in storage.drivers:
        return None
    return f"PVC {name} bound to invalid PV {bound_to} with CSI Driver: {csi.driver}"
