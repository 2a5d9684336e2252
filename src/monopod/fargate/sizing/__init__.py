"""Computes the size of a pod's machine by Fargate's published rule and table. No I/O."""

from monopod.fargate.sizing.arithmetic import (
    DEFAULT_STORAGE_GIB,
    MAX_STORAGE_REQUEST_GIB,
    RESERVED_MEMORY_MIB,
    STORAGE_RESERVE_GIB,
    STORAGE_RESERVE_PERCENT,
    Arithmetic,
    PodTooLargeError,
    SizingError,
    StorageTooLargeError,
    arithmetic,
    size_of,
    storage_gib_of,
)
from monopod.fargate.sizing.quantity import QuantityError, parse_milli
from monopod.fargate.sizing.requests import Requests, Role, Share, requests_of
from monopod.fargate.sizing.table import (
    TABLE,
    Size,
    instance_type,
    provisioned_annotation,
    smallest,
)

__all__ = [
    "DEFAULT_STORAGE_GIB",
    "MAX_STORAGE_REQUEST_GIB",
    "RESERVED_MEMORY_MIB",
    "STORAGE_RESERVE_GIB",
    "STORAGE_RESERVE_PERCENT",
    "TABLE",
    "Arithmetic",
    "PodTooLargeError",
    "QuantityError",
    "Requests",
    "Role",
    "Share",
    "Size",
    "SizingError",
    "StorageTooLargeError",
    "arithmetic",
    "instance_type",
    "parse_milli",
    "provisioned_annotation",
    "requests_of",
    "size_of",
    "smallest",
    "storage_gib_of",
]
