"""The components: modules, build options, programs, and how each program's version is checked.

Versions are only in the modules' ``go.mod`` files; all other code reads them with
:func:`module_version`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from monopod.build.components.errors import ComponentsError
from monopod.build.components.replacement import Replacement
from monopod.build.components.replacements import GVISOR, KUBERNETES, METRICS_SERVER


@dataclass(frozen=True, slots=True)
class Program:
    """One program, by the name under which it is installed."""

    name: str
    version_arguments: tuple[str, ...]
    """Arguments that make it print its version and exit with 0."""
    answer: str
    """Required part of that output; ``{version}`` is the expected version without its ``v``."""
    binary: str = ""
    """The built file that contains it; None if the file has the program's name."""
    module: str = ""
    """The module whose version it reports; None means its component's module."""

    @property
    def file(self) -> str:
        """Name of the built file."""
        return self.binary or self.name


@dataclass(frozen=True, slots=True)
class Component:
    """One Go module of the folder ``components``, and the files built from it."""

    name: str
    """Name of its directory in that folder."""
    module: str
    """The required module whose version is the component's version."""
    packages: Mapping[str, str]
    """Built file: import path of its main package."""
    programs: tuple[Program, ...]
    tags: tuple[str, ...] = ()
    cgo: bool = False
    static: bool = False
    """Link C libraries statically; needs cgo."""
    experiments: str = ""
    """``GOEXPERIMENT`` of its build."""
    replacements: tuple[Replacement, ...] = ()
    """Changes of its module; see :mod:`monopod.build.components.sources`."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """String variables set at link time; ``{version}``, ``{major}`` and ``{minor}`` are replaced by
    parts of the version, without a ``v``."""

    @property
    def directory(self) -> Path:
        """Directory of its ``go.mod``."""
        return modules_root() / self.name

    @property
    def version(self) -> str:
        """Its version with the leading ``v``, as pinned in ``go.mod``."""
        return module_version(self.name, self.module)

    def flags(self) -> tuple[str, ...]:
        """Flags of ``go build`` that affect the result."""
        version = self.version.removeprefix("v")
        major, minor, *_ = version.split(".")
        linker = ["-s", "-w"]
        for variable, value in self.variables.items():
            text = value.format(version=version, major=major, minor=minor)
            linker += ["-X", f"{variable}={text}"]
        if self.static:
            linker += ["-linkmode", "external", "-extldflags", "-static"]
        flags = ["-trimpath", "-buildvcs=false", f"-ldflags={' '.join(linker)}"]
        if self.tags:
            flags.append(f"-tags={','.join(self.tags)}")
        return tuple(flags)

    def expected_answer(self, program: Program) -> str:
        """Return the required output of a program that is run for its version."""
        version = module_version(self.name, program.module or self.module)
        return program.answer.format(version=version.removeprefix("v"))


@cache
def modules_root() -> Path:
    """Return the folder of Go modules: in an installed package, or at the repository's root.

    Raises:
        ComponentsError: Neither exists.
    """
    here = Path(__file__).resolve()
    candidates = (here.with_name("modules"), here.parents[4] / "components")
    for candidate in candidates:
        if (candidate / "kube" / "go.mod").is_file():
            return candidate
    places = " or ".join(str(candidate) for candidate in candidates)
    raise ComponentsError(f"cannot find the components' Go modules in {places}")


@cache
def module_version(component: str, module: str) -> str:
    """Return the version, with its leading ``v``, to which a component pins a module.

    Raises:
        ComponentsError: The component's ``go.mod`` does not name the module.
    """
    path = modules_root() / component / "go.mod"
    pinned = re.compile(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", re.MULTILINE)
    found = pinned.search(path.read_text())
    if found is None:
        raise ComponentsError(f"{path} pins no version of {module}")
    return found[1]


def _kubernetes(name: str, binary: str) -> Program:
    return Program(name, ("--version",), "Kubernetes v{version}", binary=binary)


_KUBERNETES_VERSION: Final = {
    f"{package}.{variable}": value
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for variable, value in {
        "gitVersion": "v{version}",
        "gitMajor": "{major}",
        "gitMinor": "{minor}",
    }.items()
}
"""Variables from which programs of Kubernetes take their version."""


def _cni(name: str) -> Program:
    return Program(name, (), f"CNI {name} plugin v{{version}}")


_CONTAINERD: Final = "github.com/containerd/containerd/v2"
_CNI: Final = "github.com/containernetworking/plugins"
_HELM: Final = "helm.sh/helm/v4"
_KONNECTIVITY: Final = "sigs.k8s.io/apiserver-network-proxy"
_METRICS_SERVER: Final = "sigs.k8s.io/metrics-server"
_VPA: Final = "k8s.io/autoscaler/vertical-pod-autoscaler"

COMPONENTS: Final[tuple[Component, ...]] = (
    Component(
        name="kube",
        module="k8s.io/kubernetes",
        packages={"kube": "./cmd/kube", "kubelet": "./cmd/kubelet"},
        programs=(
            Program(
                "etcd",
                ("--version",),
                "etcd Version: {version}",
                binary="kube",
                module="go.etcd.io/etcd/server/v3",
            ),
            _kubernetes("kube-apiserver", "kube"),
            _kubernetes("kube-controller-manager", "kube"),
            _kubernetes("kube-scheduler", "kube"),
            _kubernetes("kube-proxy", "kube"),
            Program(
                "kubectl", ("version", "--client"), "Client Version: v{version}", binary="kube"
            ),
            _kubernetes("kubelet", "kubelet"),
        ),
        replacements=KUBERNETES,
        variables=_KUBERNETES_VERSION,
    ),
    Component(
        name="containerd",
        module=_CONTAINERD,
        packages={
            name: f"{_CONTAINERD}/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
        programs=(
            Program("containerd", ("--version",), f"{_CONTAINERD} v{{version}}"),
            Program("containerd-shim-runc-v2", ("-v",), "Version:  v{version}"),
            Program("ctr", ("--version",), f"{_CONTAINERD} v{{version}}"),
        ),
        # Snapshotters that no machine uses, and that need C libraries.
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
        variables={f"{_CONTAINERD}/version.Version": "v{version}"},
    ),
    Component(
        name="runc",
        module="github.com/opencontainers/runc",
        packages={"runc": "github.com/opencontainers/runc"},
        programs=(Program("runc", ("--version",), "runc version {version}"),),
        tags=("seccomp", "netgo", "osusergo"),
        cgo=True,
        # It runs in the guest, whose C library is not this host's; and runc starts itself several
        # times for each container, which is slow where every system call is traced.
        static=True,
    ),
    Component(
        name="cni",
        module=_CNI,
        packages={
            "pod-link": "./cmd/pod-link",
            "ptp": f"{_CNI}/plugins/main/ptp",
            "loopback": f"{_CNI}/plugins/main/loopback",
            "host-local": f"{_CNI}/plugins/ipam/host-local",
        },
        programs=(_cni("pod-link"), _cni("ptp"), _cni("loopback"), _cni("host-local")),
        variables={
            f"{_CNI}/pkg/utils/buildversion.BuildVersion": "v{version}",
            "main.version": "{version}",
        },
    ),
    Component(
        name="runsc",
        module="gvisor.dev/gvisor",
        packages={"runsc": "./cmd/runsc"},
        programs=(Program("runsc", ("--version",), "runsc version {version}"),),
        replacements=GVISOR,
        variables={"gvisor.dev/gvisor/runsc/version.version": "{version}"},
    ),
    Component(
        name="coredns",
        module="github.com/coredns/coredns",
        packages={"coredns": "github.com/coredns/coredns"},
        programs=(Program("coredns", ("-version",), "CoreDNS-{version}"),),
    ),
    Component(
        name="metrics-server",
        module=_METRICS_SERVER,
        packages={"metrics-server": f"{_METRICS_SERVER}/cmd/metrics-server"},
        programs=(Program("metrics-server", ("--version",), "v{version}"),),
        replacements=METRICS_SERVER,
        variables={"k8s.io/client-go/pkg/version.gitVersion": "v{version}"},
    ),
)
"""Everything that a cluster and its machines run, the longest build first."""

FORTIO: Final = Component(
    name="fortio",
    module="fortio.org/fortio",
    packages={"fortio": "./cmd/fortio"},
    programs=(Program("fortio", ("version",), "fortio {version}"),),
)
"""Load generator of the network benchmark. No cluster runs it: built at its first use."""

VERTICAL_POD_AUTOSCALER: Final = Component(
    name="vertical-pod-autoscaler",
    module=_VPA,
    packages={
        "vpa-version": "./cmd/vpa-version",
        **{
            name: f"{_VPA}/pkg/{name}"
            for name in ("recommender", "updater", "admission-controller")
        },
    },
    programs=(
        # The other three print their version only once they have reached an API server.
        Program("vpa-version", (), "Vertical Pod Autoscaler {version}"),
        *(
            Program(f"vpa-{name}", ("--help",), f"Usage of vpa-{name}", binary=name)
            for name in ("recommender", "updater", "admission-controller")
        ),
    ),
)
"""An addon. No cluster runs it by itself: built when it is first added to one."""

HELM: Final = Component(
    name="helm",
    module=_HELM,
    packages={"helm": f"{_HELM}/cmd/helm"},
    programs=(Program("helm", ("version", "--short"), "v{version}"),),
    variables={f"{_HELM}/internal/version.version": "v{version}"},
)
"""What tests install charts with. No cluster runs it: built at its first use."""

KUBE_SCORE: Final = Component(
    name="kube-score",
    module="github.com/zegl/kube-score",
    packages={"kube-score": "github.com/zegl/kube-score/cmd/kube-score"},
    programs=(Program("kube-score", ("version",), "kube-score version: {version},"),),
    variables={"main.version": "{version}"},
)
TRIVY: Final = Component(
    name="trivy",
    module="github.com/aquasecurity/trivy",
    packages={"trivy": "github.com/aquasecurity/trivy/cmd/trivy"},
    programs=(Program("trivy", ("--version",), "Version: {version}"),),
    experiments="jsonv2",
    variables={"github.com/aquasecurity/trivy/pkg/version/app.ver": "{version}"},
)
SCANNERS: Final[tuple[Component, ...]] = (KUBE_SCORE, TRIVY)
"""What tests scan a cluster with. No cluster runs them: each is built at its first use."""

_VERSION: Final = "github.com/prometheus/common/version.Version"
_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator"

PROMETHEUS: Final = Component(
    name="prometheus",
    module="github.com/prometheus/prometheus",
    packages={"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
    programs=(Program("prometheus", ("--version",), "prometheus, version {version}"),),
    # Of the ways to discover targets, only Kubernetes'. Its pages are not in the module.
    tags=("remove_all_sd", "enable_kubernetes_sd"),
    variables={_VERSION: "{version}"},
)
PROMETHEUS_OPERATOR: Final = Component(
    name="prometheus-operator",
    module=_OPERATOR,
    packages={
        name: f"{_OPERATOR}/cmd/{name}" for name in ("operator", "prometheus-config-reloader")
    },
    programs=(
        Program(
            "prometheus-operator",
            ("--version",),
            "prometheus-operator, version {version}",
            binary="operator",
        ),
        Program(
            "prometheus-config-reloader",
            ("--version",),
            "prometheus-config-reloader, version {version}",
        ),
    ),
    variables={_VERSION: "{version}"},
)
OPENTELEMETRY_COLLECTOR: Final = Component(
    name="opentelemetry-collector",
    module="go.opentelemetry.io/collector/otelcol",
    packages={"otelcol": "./cmd/otelcol"},
    programs=(Program("otelcol", ("--version",), "otelcol version {version}"),),
)
MONITORS: Final[tuple[Component, ...]] = (PROMETHEUS, PROMETHEUS_OPERATOR, OPENTELEMETRY_COLLECTOR)
"""What long tests monitor a cluster with. No cluster runs them: each is built at its first use."""

KONNECTIVITY: Final = Component(
    name="konnectivity",
    module=_KONNECTIVITY,
    packages={name: f"{_KONNECTIVITY}/cmd/{name}" for name in ("server", "agent")},
    programs=(
        # They print no version.
        Program(
            "proxy-server", ("--help",), "receives requests from the API server", binary="server"
        ),
        Program("proxy-agent", ("--help",), "Connects to the proxy", binary="agent"),
    ),
)
"""What API servers of tests reach hosts and pods through. No cluster of Monopod's runs it: built at
its first use."""

E2E_SUITE: Final = Component(
    name="e2e",
    module="k8s.io/kubernetes",
    packages={
        "e2e.test": "./cmd/e2e.test",
        "agnhost": "k8s.io/kubernetes/test/images/agnhost",
        "nonewprivs": "k8s.io/kubernetes/test/images/nonewprivs",
        "sample-apiserver": "k8s.io/sample-apiserver",
    },
    programs=(
        Program("e2e.test", ("--version",), "Kubernetes v{version}"),
        # Of images that its cases run. Their versions are not Kubernetes'.
        Program("agnhost", ("--version",), "app version"),
        Program("nonewprivs", (), "Effective uid:"),
        Program("sample-apiserver", ("--help",), "Launch a wardle API server"),
    ),
    variables=_KUBERNETES_VERSION,
)
"""Upstream's end-to-end suite, and programs of its images. No cluster runs it: built on request."""
