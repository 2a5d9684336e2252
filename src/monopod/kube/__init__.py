"""Kubernetes API client and the building blocks of controllers. Independent of Fargate."""

from monopod.api.metadata import annotations_of, labels_of, meta, name_of, namespace_of, uid_of
from monopod.kube.client import Client, Listing, PatchType, connect
from monopod.kube.controller import Controller
from monopod.kube.daemon import Daemon, serve
from monopod.kube.errors import (
    AlreadyExistsError,
    ConflictError,
    EvictionRefusedError,
    ForbiddenError,
    GoneError,
    InvalidError,
    KubeconfigError,
    KubeError,
    NotFoundError,
    NotLeaderError,
    TransientError,
    UnauthorizedError,
)
from monopod.kube.events import EventRecorder, EventType
from monopod.kube.informer import Informer
from monopod.kube.leader_election import ElectionConfig
from monopod.kube.manager import Manager
from monopod.kube.mutation_cache import MutationCache, Source
from monopod.kube.objects import Key, key_of, key_parts, make_key, with_type
from monopod.kube.store import Added, Change, Deleted, Modified
from monopod.kube.workqueue import WorkQueue

__all__ = [
    "Added",
    "AlreadyExistsError",
    "Change",
    "Client",
    "ConflictError",
    "Controller",
    "Daemon",
    "Deleted",
    "ElectionConfig",
    "EventRecorder",
    "EventType",
    "EvictionRefusedError",
    "ForbiddenError",
    "GoneError",
    "Informer",
    "InvalidError",
    "Key",
    "KubeError",
    "KubeconfigError",
    "Listing",
    "Manager",
    "Modified",
    "MutationCache",
    "NotFoundError",
    "NotLeaderError",
    "PatchType",
    "Source",
    "TransientError",
    "UnauthorizedError",
    "WorkQueue",
    "annotations_of",
    "connect",
    "key_of",
    "key_parts",
    "labels_of",
    "make_key",
    "meta",
    "name_of",
    "namespace_of",
    "serve",
    "uid_of",
    "with_type",
]
