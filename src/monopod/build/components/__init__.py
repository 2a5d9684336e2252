"""Upstream's programs, built once from pinned Go modules into the cache.

Nothing of Kubernetes, containerd or CoreDNS is rewritten here; the folder ``components`` pins each
as a Go module, and this package builds the pinned programs.
"""

from monopod.build.components.catalogue import (
    COMPONENTS,
    E2E_SUITE,
    FORTIO,
    HELM,
    KONNECTIVITY,
    KUBE_SCORE,
    MONITORS,
    OPENTELEMETRY_COLLECTOR,
    PROMETHEUS,
    PROMETHEUS_OPERATOR,
    SCANNERS,
    TRIVY,
    VERTICAL_POD_AUTOSCALER,
    Component,
    Program,
    module_version,
)
from monopod.build.components.errors import (
    BuildError,
    ComponentsError,
    PrebuiltError,
    ToolchainError,
)
from monopod.build.components.provide import (
    Components,
    module_directory,
    pause_source,
    provide,
    verify,
)

__all__ = [
    "COMPONENTS",
    "E2E_SUITE",
    "FORTIO",
    "HELM",
    "KONNECTIVITY",
    "KUBE_SCORE",
    "MONITORS",
    "OPENTELEMETRY_COLLECTOR",
    "PROMETHEUS",
    "PROMETHEUS_OPERATOR",
    "SCANNERS",
    "TRIVY",
    "VERTICAL_POD_AUTOSCALER",
    "BuildError",
    "Component",
    "Components",
    "ComponentsError",
    "PrebuiltError",
    "Program",
    "ToolchainError",
    "module_directory",
    "module_version",
    "pause_source",
    "provide",
    "verify",
]
