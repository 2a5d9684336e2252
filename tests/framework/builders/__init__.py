"""Objects for tests, each with only what a test cares about: a module for each noun."""

from tests.framework.builders.endpoint_slices import ENDING, READY, UNREADY, slice_of
from tests.framework.builders.nodes import NODE, node
from tests.framework.builders.pods import UID, pod
from tests.framework.builders.profiles import ARN, NOW, profile, role
from tests.framework.builders.services import service
from tests.framework.builders.subnets import subnet
from tests.framework.builders.volumes import claim, storage, volume

__all__ = [
    "ARN",
    "ENDING",
    "NODE",
    "NOW",
    "READY",
    "UID",
    "UNREADY",
    "claim",
    "node",
    "pod",
    "profile",
    "role",
    "service",
    "slice_of",
    "storage",
    "subnet",
    "volume",
]
