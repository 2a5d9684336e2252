"""Monopod's own processes: modules of this very installation, each with what it alone needs."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import monopod
from monopod.cluster.layout import HAPROXY, HAPROXY_FILE, Layout, User
from monopod.cluster.service import Service
from monopod.network.addresses import SERVICES

_SOURCES: Final = Path(monopod.__file__).resolve().parents[1]
_OS: Final = Path("/usr")


def services(layout: Layout, guest_image: Path | None) -> tuple[Service, ...]:
    """Return all of them; without an image of the guest there is nothing to keep machines for."""
    every = (
        network(layout),
        admission(layout),
        scheduler(layout),
        eks(layout),
        balancing(layout),
    )
    if guest_image is not None:
        every = (*every, machines(layout, guest_image))
    return every


def admission(layout: Layout) -> Service:
    """Return the webhooks' server, which the API server calls on the loopback."""
    return _confined(layout, "admission", layout.uid(User.ADMISSION))


def eks(layout: Layout) -> Service:
    """Return the EKS API's server, which the host reaches."""
    return _confined(
        layout,
        "eks",
        layout.uid(User.EKS),
        {
            "MONOPOD_EKS_ADDRESS": str(layout.control_address),
            "MONOPOD_EKS_SERVER": layout.api_server,
            "MONOPOD_EKS_SERVICES": str(SERVICES),
        },
    )


def scheduler(layout: Layout) -> Service:
    """Return the fargate-scheduler."""
    return _confined(layout, "scheduler", layout.uid(User.FARGATE_SCHEDULER))


def balancing(layout: Layout) -> Service:
    """Return the keeper of the load balancers: it writes their configuration and gives orders."""
    confined = _confined(layout, "balancing", layout.uid(User.BALANCING))
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
            **{f"MONOPOD_BALANCING_{name}": str(value) for name, value in own.items()},
        },
    )


def machines(layout: Layout, guest_image: Path) -> Service:
    """Return the keeper of the machines: it makes jails, and so needs what makes them.

    Raw sockets and the network for the machines' links; ``sys_admin`` for namespaces and mounts;
    users, ownership and modes for files and processes that are a machine's; ``mknod`` for a device
    that is one machine's alone.
    """
    return _unconfined(
        layout,
        "machines",
        (
            "chown",
            "dac_override",
            "fowner",
            "mknod",
            "net_admin",
            "net_raw",
            "setgid",
            "setpcap",
            "setuid",
            "sys_admin",
        ),
        {
            **_given("MONOPOD_LOCAL_", "MONOPOD_MACHINES_"),
            "MONOPOD_MACHINES_IMAGE": str(guest_image),
        },
    )


def network(layout: Layout) -> Service:
    """Return the keeper of the VPC: it enters the router's namespace and writes its rules there."""
    return _unconfined(layout, "network", ("net_admin", "sys_admin"))


def _confined(
    layout: Layout, module: str, uid: int, environment: Mapping[str, str] | None = None
) -> Service:
    own = layout.identity(module)
    return Service(
        module,
        _argv(module),
        uid=uid,
        namespace=layout.network.control_name,
        readable=(*python_paths(), own),
        environment={**_environment(layout, own), **_settings(module), **(environment or {})},
        notifies=True,
    )


def _unconfined(
    layout: Layout,
    module: str,
    capabilities: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
) -> Service:
    return Service(
        module,
        _argv(module),
        uid=0,
        namespace=layout.network.control_name,
        capabilities=capabilities,
        confined=False,
        environment={
            **_environment(layout, layout.identity(module)),
            **_settings(module),
            **(environment or {}),
        },
        notifies=True,
    )


def _argv(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"monopod.{module}")


def _given(*prefixes: str) -> dict[str, str]:
    """Return the settings that are no cluster's but a process's own, as people set them."""
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}


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
        "KUBECONFIG": str(identity / "kubeconfig"),
        # Where nothing can be written, looking for a place to write to is wasted.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _settings(module: str) -> dict[str, str]:
    """Return what this process was told for that one: its own variables, as they are documented."""
    prefix = f"MONOPOD_{module.upper()}_"
    return {name: value for name, value in os.environ.items() if name.startswith(prefix)}


def python_paths() -> tuple[Path, ...]:
    """Return what an interpreter needs beyond the operating system's own directories."""
    places = dict.fromkeys((Path(sys.base_prefix).resolve(), Path(sys.prefix), _SOURCES))
    return tuple(
        place
        for place in places
        if not place.is_relative_to(_OS)
        and not any(place != other and place.is_relative_to(other) for other in places)
    )
