"""The injections in the informers' caches, prepared for being merged, by namespace."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from lightkube.models.meta_v1 import LabelSelector

from monopod.api.metadata import meta, namespace_of, uid_of
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    SidecarInjection,
)
from monopod.fargate.sidecars import Sidecars, compile_sidecars, is_active
from monopod.kube import Change, Deleted, Key, Source
from monopod.kube.selectors import selects

EVERYWHERE: Final = ""
"""The namespace, here, of cluster-scoped injections."""
_log: Final = structlog.get_logger("sidecars")
_EVERY: Final = LabelSelector()


@dataclass(frozen=True, slots=True)
class Prepared:
    """An injection, ready to be matched and merged."""

    uid: str
    generation: int
    pods: LabelSelector
    namespaces: LabelSelector
    sidecars: Sidecars | None
    """None if it is not injected at present."""

    def selects(self, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        """Report whether it selects a pod with these labels, of a namespace with those."""
        return selects(self.pods, labels) and selects(self.namespaces, namespace_labels)


def prepare(injection: AnyInjection) -> Prepared:
    """Prepare an injection; never raises, as every new pod depends on it."""
    sidecars = None
    try:
        sidecars = compile_sidecars(injection) if is_active(injection) else None
    except Exception:
        # It was stored while no webhook validated it.
        _log.exception("sidecar_injection_unusable", name=meta(injection).name)
    spaces = (
        injection.spec.namespaceSelector if isinstance(injection, ClusterSidecarInjection) else None
    )
    return Prepared(
        uid=uid_of(injection),
        generation=meta(injection).generation or 0,
        pods=injection.spec.selector or _EVERY,
        namespaces=spaces or _EVERY,
        sidecars=sidecars,
    )


class SidecarIndex:
    """Prepared injections by namespace; each is prepared once for each change."""

    def __init__(
        self,
        namespaced: Source[SidecarInjection],
        cluster: Source[ClusterSidecarInjection],
    ) -> None:
        """Follow two informers."""
        self._found: dict[str, dict[Key, Prepared]] = {}
        namespaced.subscribe(self._changed)
        cluster.subscribe(self._changed)

    def of(self, namespace: str) -> Mapping[Key, Prepared]:
        """Return a namespace's injections by key; for ``EVERYWHERE`` the cluster-scoped ones."""
        return self._found.get(namespace, {})

    def _changed(self, change: Change[SidecarInjection] | Change[ClusterSidecarInjection]) -> None:
        namespace = namespace_of(change.object) or EVERYWHERE
        found = self._found.setdefault(namespace, {})
        if isinstance(change, Deleted):
            found.pop(change.key, None)
        else:
            found[change.key] = prepare(change.object)
        if not found:
            del self._found[namespace]


def prepare_all(injections: Iterable[AnyInjection]) -> list[Prepared]:
    """Prepare many injections."""
    return [prepare(each) for each in injections]
