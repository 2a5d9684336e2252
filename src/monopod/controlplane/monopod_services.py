"""Monopod's own processes as services: modules of this installation, with least privilege."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import monopod
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controlplane import code, metrics_targets
from monopod.controlplane.layout import HAPROXY, HAPROXY_FILE, Layout, User
from monopod.controlplane.service import RESOLVER_FILE, Role, Service
from monopod.node.net.addresses import SERVICES

_SOURCES: Final = Path(monopod.__file__).resolve().parents[1]
_OS: Final = Path("/usr")
_PUBLIC_AUTHORITIES: Final = Path("/etc/ssl/certs")


def services(layout: Layout, guest_image: Path | None) -> tuple[Service, ...]:
    """Return all services; without a guest image, monopod-microvm is left out.

    Their environment has the digest of their code, so that new code is a change of the service.
    """
    every = (
        certificates(layout),
        vpc(layout),
        webhooks(layout),
        scheduler(layout),
        eksapi(layout),
        pullproxy(layout),
        loadbalancer(layout),
        metricsproxy(layout),
        patch(layout, guest_image),
        sidecars(layout),
        *(() if guest_image is None else (microvm(layout, guest_image),)),
    )
    digest = {"MONOPOD_CODE": code.installed_code()}
    return tuple(
        replace(service, environment={**service.environment, **digest}) for service in every
    )


def certificates(layout: Layout) -> Service:
    """Return the renewer of certificates, which sees the identities of all processes.

    The capabilities let it write in the directories of other users, and give files to them.
    """
    confined = _confined(layout, "monopod.controlplane.certificates", 0)
    return replace(
        confined,
        capabilities=("chown", "dac_override", "fowner"),
        readable=python_paths(),
        writable=(layout.identities,),
        environment={
            **confined.environment,
            "MONOPOD_CERTIFICATES_TRANSIT": str(layout.network.transit),
        },
    )


def webhooks(layout: Layout) -> Service:
    """Return the admission webhook server, which the API server calls on the loopback."""
    confined = _confined(layout, "monopod.webhooks", layout.uid(User.WEBHOOKS))
    return replace(confined, role=Role.SERVER)


def eksapi(layout: Layout) -> Service:
    """Return the EKS API's server, which is reachable from the host."""
    confined = _confined(
        layout,
        "monopod.eksapi",
        layout.uid(User.EKSAPI),
        {
            "MONOPOD_EKSAPI_ADDRESS": str(layout.control_address),
            "MONOPOD_EKSAPI_SERVER": layout.api_server,
            "MONOPOD_EKSAPI_SERVICES": str(SERVICES),
        },
    )
    return replace(confined, role=Role.SERVER)


def pullproxy(layout: Layout) -> Service:
    """Return the pull proxy, in a network namespace that reaches nothing of the cluster.

    It has no identity at the API server, and reads which machine may pull what, never writes it.
    """
    confined = _confined(
        layout,
        "monopod.pullproxy",
        layout.uid(User.PULLPROXY),
        {
            "MONOPOD_PULLPROXY_ADDRESS": str(layout.network.pulls.ip),
            "MONOPOD_PULLPROXY_METRICS_ADDRESS": str(layout.network.pulls.ip),
        },
    )
    environment = {key: each for key, each in confined.environment.items() if key != "KUBECONFIG"}
    own = replace(
        confined,
        namespace=layout.network.pulls_name,
        role=Role.SERVER,
        readable=(*confined.readable, layout.settings.pulls),
        environment=environment,
    )
    return _with_names(layout, own)


def metricsproxy(layout: Layout) -> Service:
    """Return the metrics proxy, which pods that may scrape and the host reach."""
    confined = _confined(
        layout,
        "monopod.metricsproxy",
        layout.uid(User.METRICSPROXY),
        {
            "MONOPOD_METRICSPROXY_ADDRESS": str(layout.control_address),
            "MONOPOD_METRICSPROXY_TARGETS": json.dumps(metrics_targets.urls(layout.network)),
        },
    )
    return replace(confined, role=Role.SERVER)


def scheduler(layout: Layout) -> Service:
    """Return the fargate-scheduler. It resolves the name of the traces' receiver, if it has one."""
    confined = _confined(
        layout, "monopod.controllers.scheduler", layout.uid(User.FARGATE_SCHEDULER)
    )
    return confined if SchedulerSettings().traces_url is None else _with_names(layout, confined)


def loadbalancer(layout: Layout) -> Service:
    """Return the load balancer controller: it writes HAProxy's configuration and commands it."""
    confined = _confined(layout, "monopod.controllers.loadbalancer", layout.uid(User.LOADBALANCER))
    own = {
        "TRANSIT": layout.network.transit,
        "BASE": layout.configuration(HAPROXY) / HAPROXY_FILE,
        "CONFIGURATION": layout.balancer_configuration,
        "SOCKET": layout.balancer_socket,
    }
    return replace(
        confined,
        readable=(
            *confined.readable,
            layout.configuration(HAPROXY),
            layout.balancer_socket.parent,
        ),
        writable=(layout.balancer_configuration,),
        environment={
            **confined.environment,
            **{f"MONOPOD_LOADBALANCER_{name}": str(value) for name, value in own.items()},
        },
    )


def patch(layout: Layout, guest_image: Path | None) -> Service:
    """Return the patch controller. It resolves the name of its sink, and calls it."""
    confined = _confined(layout, "monopod.controllers.patch", layout.uid(User.PATCH))
    directory = layout.configuration(confined.name)
    own = {
        "MONOPOD_PATCH_IMAGE": guest_image,
        "MONOPOD_PATCH_SINK_TOKEN_FILE": layout.sink_token
        if PatchSettings().sink_token_file is not None
        else None,
    }
    return replace(
        confined,
        readable=(*confined.readable, layout.sink_token.parent),
        configuration={"resolv.conf": f"nameserver {layout.network.resolver}\n"},
        configured=directory,
        resolver=directory / "resolv.conf",
        environment={
            **confined.environment,
            **{name: str(value) for name, value in own.items() if value is not None},
        },
    )


def sidecars(layout: Layout) -> Service:
    """Return the sidecar controllers."""
    return _confined(layout, "monopod.controllers.sidecars", layout.uid(User.SIDECARS))


def microvm(layout: Layout, guest_image: Path) -> Service:
    """Return the MicroVM controller, with the capabilities that building jails takes.

    ``net_raw`` and ``net_admin`` for the machines' links; ``sys_admin`` for namespaces and mounts;
    those of users, ownership and modes for a machine's files and processes; ``kill`` for a trial
    guest that hangs, whose user is not root; ``mknod`` for a machine's private device.
    """
    return _unconfined(
        layout,
        "monopod.controllers.microvm",
        (
            "chown",
            "dac_override",
            "fowner",
            "kill",
            "mknod",
            "net_admin",
            "net_raw",
            "setgid",
            "setpcap",
            "setuid",
            "sys_admin",
        ),
        {
            **_given("MONOPOD_LOCAL_"),
            "MONOPOD_MICROVM_IMAGE": str(guest_image),
        },
    )


def vpc(layout: Layout) -> Service:
    """Return the VPC controller: it enters the router's namespace and writes its rules there."""
    return _unconfined(layout, "monopod.controllers.vpc", ("net_admin", "sys_admin"))


def _with_names(layout: Layout, service: Service) -> Service:
    """Return a service that resolves names, and trusts what the host trusts."""
    # The directory, so that an update of the authorities is seen.
    authorities = (path for path in (_PUBLIC_AUTHORITIES,) if path.exists())
    return replace(
        service,
        readable=(*service.readable, *authorities),
        configuration={RESOLVER_FILE: f"nameserver {layout.network.resolver}\n"},
        configured=layout.configuration(service.name),
    )


def _confined(
    layout: Layout, module: str, uid: int, environment: Mapping[str, str] | None = None
) -> Service:
    name = _name(module)
    own = layout.identity(name)
    return Service(
        name,
        _argv(module),
        uid=uid,
        namespace=layout.network.control_name,
        readable=(*python_paths(), own),
        environment={**_environment(layout, own), **_settings(name), **(environment or {})},
        notifies=True,
    )


def _unconfined(
    layout: Layout,
    module: str,
    capabilities: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
) -> Service:
    name = _name(module)
    return Service(
        name,
        _argv(module),
        uid=0,
        namespace=layout.network.control_name,
        capabilities=capabilities,
        confined=False,
        environment={
            **_environment(layout, layout.identity(name)),
            **_settings(name),
            **(environment or {}),
        },
        notifies=True,
    )


def _name(module: str) -> str:
    """Return the name of a process's service, log, identity and settings: its package's."""
    return module.rpartition(".")[2]


def _argv(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


def _given(prefix: str) -> dict[str, str]:
    """Return our environment variables with this prefix."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}


def _environment(layout: Layout, identity: Path) -> dict[str, str]:
    settings = layout.settings
    components = {} if settings.components is None else {"COMPONENTS": settings.components}
    values = {
        "HOME": layout.home,
        "CACHE": settings.cache,
        "CLUSTER": settings.cluster,
        "ACCOUNT": settings.account,
        "REGION": settings.region,
        "UNSUPPORTED_REGIONS": json.dumps(sorted(settings.unsupported_regions)),
        "MAX_PROFILES": settings.max_profiles,
        "LOG_LEVEL": settings.log_level,
        **components,
    }
    return {
        **{f"MONOPOD_{name}": str(value) for name, value in values.items()},
        **_given("MONOPOD_LEADER_ELECTION"),
        "KUBECONFIG": str(identity / "kubeconfig"),
        # The file system is read-only, so looking for a place to write is wasted time.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _settings(name: str) -> dict[str, str]:
    """Return the variables in our environment that are documented as this process's."""
    return _given(f"MONOPOD_{name.upper()}_")


def python_paths() -> tuple[Path, ...]:
    """Return the paths that an interpreter needs beyond the operating system's directories."""
    places = dict.fromkeys((Path(sys.base_prefix).resolve(), Path(sys.prefix), _SOURCES))
    return tuple(
        place
        for place in places
        if not place.is_relative_to(_OS)
        and not any(place != other and place.is_relative_to(other) for other in places)
    )
