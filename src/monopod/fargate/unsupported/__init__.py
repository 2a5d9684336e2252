"""Finds what Fargate does not support in a pod, reported in AWS's texts. No I/O."""

from monopod.fargate.unsupported.pods import RuntimeClasses
from monopod.fargate.unsupported.unsupported import not_for_debuggers, why_unsupported
from monopod.fargate.unsupported.volumes import Storage

__all__ = ["RuntimeClasses", "Storage", "not_for_debuggers", "why_unsupported"]
