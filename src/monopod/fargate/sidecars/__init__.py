"""Turns a DaemonSet's pod template into native sidecars of other pods. No I/O."""

from monopod.fargate.sidecars.compiled import Sidecars, compile_sidecars, copy_name, is_active
from monopod.fargate.sidecars.merge import (
    LeftOut,
    Merge,
    PodShape,
    merge,
    read_carried,
    read_left_out,
)
from monopod.fargate.sidecars.references import Carried, Reference, reference_of
from monopod.fargate.sidecars.template import Rules, find_faults, find_ignored, rules_of

__all__ = [
    "Carried",
    "LeftOut",
    "Merge",
    "PodShape",
    "Reference",
    "Rules",
    "Sidecars",
    "compile_sidecars",
    "copy_name",
    "find_faults",
    "find_ignored",
    "is_active",
    "merge",
    "read_carried",
    "read_left_out",
    "reference_of",
    "rules_of",
]
