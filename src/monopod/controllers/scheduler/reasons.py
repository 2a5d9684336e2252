"""Reasons of a pod's PodScheduled condition.

Public: tools may branch on them. Those in capitals are AWS's own; ``profiles.Outcome`` and
``sizing.SizingError`` define theirs.
"""

from typing import Final

from monopod.api import constants, messages
from monopod.fargate import profiles, sizing

UNSUPPORTED: Final = messages.UNSUPPORTED_REASON
TOO_LARGE: Final = sizing.PodTooLargeError.reason
TOO_MUCH_STORAGE: Final = sizing.StorageTooLargeError.reason
INVALID: Final = "InvalidResourceRequest"
NO_PROFILE: Final = profiles.Outcome.NO_MATCH.value
PROFILE_UNKNOWN: Final = profiles.Outcome.NAMED_UNKNOWN.value
PROFILE_MISMATCH: Final = profiles.Outcome.NAMED_MISMATCH.value
OPTED_OUT: Final = profiles.Outcome.OPTED_OUT.value
MISCONFIGURED: Final = "MisconfiguredFargateProfile"
SELECTOR: Final = "MatchNodeSelector"
TOPOLOGY: Final = "TopologyNotSatisfied"
NO_ADDRESS: Final = "InsufficientFreeAddressesInSubnet"
NO_CAPACITY: Final = constants.CAPACITY_UNAVAILABLE
CORDONED: Final = constants.HOST_CORDONED
NO_DRIVER: Final = constants.DRIVER_UNAVAILABLE
NO_SIZE: Final = constants.SIZE_UNSUPPORTED
UNKNOWN_DRIVER: Final = "UnknownDriver"
WEAKER_DRIVER: Final = "WeakerDriver"
DRIVER_LACKS_FEATURE: Final = "DriverLacksFeature"
SECURITY_GROUPS: Final = "InvalidSecurityGroups"
NAME_TAKEN: Final = "MachineNameTaken"
PROVISIONING: Final = "Provisioning"
"""Not a failure: the pod's machine is being provisioned."""
PROVISIONING_FAILED: Final = "ProvisioningFailed"

UNSCHEDULABLE: Final = frozenset(
    {
        UNSUPPORTED,
        TOO_LARGE,
        TOO_MUCH_STORAGE,
        INVALID,
        NO_PROFILE,
        PROFILE_UNKNOWN,
        PROFILE_MISMATCH,
        OPTED_OUT,
        MISCONFIGURED,
        SELECTOR,
        TOPOLOGY,
        NO_ADDRESS,
        NO_CAPACITY,
        CORDONED,
        NO_DRIVER,
        NO_SIZE,
        UNKNOWN_DRIVER,
        WEAKER_DRIVER,
        DRIVER_LACKS_FEATURE,
        SECURITY_GROUPS,
    }
)
"""Reasons that hold until another object changes; an event then reports them resolved."""
