"""Finds what Fargate does not support in a pod, reported in AWS's texts. No I/O."""

from monopod.refusals.pods import RuntimeClasses
from monopod.refusals.unsupported import REASON, not_for_debuggers, why_unsupported
from monopod.refusals.volumes import Storage

__all__ = ["REASON", "RuntimeClasses", "Storage", "not_for_debuggers", "why_unsupported"]
