"""Values in objects' status that one component writes and others read."""

from typing import Final

CREATING: Final = "CREATING"
ACTIVE: Final = "ACTIVE"
CREATE_FAILED: Final = "CREATE_FAILED"
DELETING: Final = "DELETING"
DELETE_FAILED: Final = "DELETE_FAILED"
"""Values of ``FargateProfile.status.status``, which are the EKS API's."""

ADDRESSED: Final = "Addressed"
HARDWARE_VIRTUALIZED: Final = "HardwareVirtualized"
"""Not a phase: whether the guest is isolated by hardware, and why this driver was chosen."""
LAUNCHED: Final = "Launched"
REGISTERED: Final = "Registered"
READY: Final = "Ready"
TERMINATED: Final = "Terminated"
"""Conditions of a MicroVM; ``READY`` is one of other objects too."""

CAPACITY_UNAVAILABLE: Final = "CapacityUnavailable"
SIZE_UNSUPPORTED: Final = "SizeUnsupported"
DRIVER_UNAVAILABLE: Final = "DriverUnavailable"
PLACEMENT_LOST: Final = "PlacementLost"
PLACEMENT_PENDING: Final = "PlacementPending"
"""The cluster's scheduler has found no node for the launcher pod."""
PLACING: Final = "Placing"
HOST_CORDONED: Final = "HostCordoned"
"""Reasons why a MicroVM is not launched and its pod is unschedulable."""

PURPOSE_POD: Final = "Pod"
PURPOSE_WORKER_NODE: Final = "WorkerNode"
"""Values of ``MicroVM.spec.purpose``."""

FINISHED_PHASES: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a finished pod: none of its containers runs again."""
