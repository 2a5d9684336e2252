"""Words in objects' statuses that one controller writes and others go by."""

from typing import Final

CREATING: Final = "CREATING"
ACTIVE: Final = "ACTIVE"
CREATE_FAILED: Final = "CREATE_FAILED"
DELETING: Final = "DELETING"
DELETE_FAILED: Final = "DELETE_FAILED"
"""What becomes of a FargateProfile; the EKS API's own words."""

ADDRESSED: Final = "Addressed"
HARDWARE_VIRTUALIZED: Final = "HardwareVirtualized"
"""Not a phase: whether hardware stands between guest and host, and why this driver was chosen."""
LAUNCHED: Final = "Launched"
REGISTERED: Final = "Registered"
READY: Final = "Ready"
TERMINATED: Final = "Terminated"
"""Conditions of a MicroVM; ``READY`` is one of other objects too."""

CAPACITY_UNAVAILABLE: Final = "CapacityUnavailable"
SIZE_UNSUPPORTED: Final = "SizeUnsupported"
DRIVER_UNAVAILABLE: Final = "DriverUnavailable"
"""Reasons for which a MicroVM is not launched, and its pod not placed."""

PURPOSE_POD: Final = "Pod"
PURPOSE_WORKER_NODE: Final = "WorkerNode"
"""Values of ``MicroVM.spec.purpose``."""

FINISHED_PHASES: Final = frozenset({"Succeeded", "Failed"})
"""Phases of a pod none of whose containers will run again."""
