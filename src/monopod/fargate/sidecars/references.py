"""Names an injection in pods' annotations, as ``sidecarinjection/agent@3``."""

from dataclasses import dataclass
from typing import Final

from monopod.api.metadata import name_of, namespace_of
from monopod.api.sidecar_injections import AnyInjection, ClusterSidecarInjection

CLUSTER: Final = "clustersidecarinjection"
NAMESPACED: Final = "sidecarinjection"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """An injection as the pods of one namespace name it.

    In their order injections are merged: the administrators' first, then by name.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> "Reference | None":
        """Parse a reference; None if the text is none."""
        kind, _, name = text.partition("/")
        return cls(kind, name) if kind in (CLUSTER, NAMESPACED) and name else None

    def key_in(self, namespace: str) -> str:
        """Return a key that is unique in the cluster, for a pod of this namespace."""
        return str(self) if self.kind == CLUSTER else f"{self.kind}/{namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Carried:
    """One generation of an injection."""

    reference: Reference
    generation: int

    def __str__(self) -> str:
        return f"{self.reference}@{self.generation}"

    @classmethod
    def parse(cls, text: str) -> "Carried | None":
        """Parse a reference with its generation; None if the text is none."""
        name, _, generation = text.strip().rpartition("@")
        reference = Reference.parse(name)
        if reference is None or not (generation.isascii() and generation.isdecimal()):
            return None
        return cls(reference, int(generation[:18]))


def reference_of(injection: AnyInjection) -> Reference:
    """Return the reference to an injection."""
    kind = CLUSTER if isinstance(injection, ClusterSidecarInjection) else NAMESPACED
    return Reference(kind, name_of(injection))


def key_of_injection(injection: AnyInjection) -> str:
    """Return a key that is unique in the cluster."""
    return reference_of(injection).key_in(namespace_of(injection))
