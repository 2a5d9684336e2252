"""Kubernetes API client and the building blocks of controllers. Independent of Fargate."""

from monopod.kube.client import Client, Listing, PatchType, connect
from monopod.kube.controller import Controller
from monopod.kube.errors import AlreadyExistsError, ConflictError, ForbiddenError, GoneError, InvalidError, KubeconfigError, KubeError, NotFoundError, TransientError, UnauthorizedError
from monopod.kube.events import EventRecorder, EventType
from monopod.kube.mutation_cache import Fresh
from monopod.kube.informer import Informer
from monopod.kube.manager import Manager
from monopod.kube.objects import Key, identity, key_of, key_parts, make_key, meta, with_type
from monopod.kube.workqueue import WorkQueue
from monopod.kube.daemon import Service, serve
from monopod.kube.store import Added, Change, Deleted, Modified

__all__ = [
    "Added",
    "AlreadyExistsError",
    "Change",
    "Client",
    "ConflictError",
    "Controller",
    "Deleted",
    "EventRecorder",
    "EventType",
    "ForbiddenError",
    "Fresh",
    "GoneError",
    "Informer",
    "InvalidError",
    "Key",
    "KubeError",
    "KubeconfigError",
    "Listing",
    "Manager",
    "Modified",
    "NotFoundError",
    "PatchType",
    "Service",
    "TransientError",
    "UnauthorizedError",
    "WorkQueue",
    "connect",
    "identity",
    "key_of",
    "key_parts",
    "make_key",
    "meta",
    "serve",
    "with_type",
]
