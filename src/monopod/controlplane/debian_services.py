"""Programs of Debian's packages as services: the registry, and HAProxy for load balancers."""

from pathlib import Path
from typing import Final

import yaml

from monopod.controllers.loadbalancer.render import base
from monopod.controlplane.layout import HAPROXY, HAPROXY_FILE, Layout, User
from monopod.controlplane.service import Role, Service

REGISTRY_PUSH: Final = "registry-push"
"""The service that collects the registry's garbage at each start."""
_REGISTRY_PROGRAM: Final = "/usr/bin/docker-registry"
_HAPROXY_PROGRAM: Final = "/usr/sbin/haproxy"


def services(layout: Layout) -> tuple[Service, ...]:
    """Return all services."""
    return registry(layout), registry_push(layout), haproxy(layout)


def registry(layout: Layout) -> Service:
    """Return the registry that guests pull from; it is read-only."""
    own = layout.identity("registry")
    return _registry(
        layout,
        "registry",
        {
            "addr": layout.registry,
            "tls": {"certificate": str(own / "registry.crt"), "key": str(own / "registry.key")},
        },
        read_only=True,
        readable=(own, layout.image_data),
    )


def registry_push(layout: Layout) -> Service:
    """Return the registry that this host pushes to, on a socket that only root can open.

    It alone deletes images. Before it starts, it removes the layers that no image uses any more;
    the registry must not be written to meanwhile.
    """
    return _registry(
        layout,
        REGISTRY_PUSH,
        {"net": "unix", "addr": str(layout.push_socket)},
        read_only=False,
        writable=(layout.image_data, layout.push_socket.parent),
        socket=layout.push_socket,
    )


def haproxy(layout: Layout) -> Service:
    """Return HAProxy, which runs all load balancers in a dedicated network namespace.

    Its master process survives reloads and passes the listening sockets from worker to worker.
    """
    directory = layout.configuration(HAPROXY)
    words = {
        "-S": f"{layout.balancer_socket},mode,660",
        "-f": directory / HAPROXY_FILE,
    }
    return Service(
        HAPROXY,
        (
            _HAPROXY_PROGRAM,
            "-W",
            *(str(word) for pair in words.items() for word in pair),
            "-f",
            str(layout.balancer_configuration),
        ),
        uid=layout.uid(User.BALANCERS),
        role=Role.SERVER,
        namespace=layout.network.balancers_name,
        readable=(layout.balancer_configuration,),
        writable=(layout.balancer_socket.parent,),
        socket=layout.balancer_socket,
        configuration={HAPROXY_FILE: base(layout.network.balancers.ip)},
        configured=directory,
    )


def _registry(
    layout: Layout,
    name: str,
    http: dict[str, object],
    *,
    read_only: bool,
    readable: tuple[Path, ...] = (),
    writable: tuple[Path, ...] = (),
    socket: Path | None = None,
) -> Service:
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(layout.image_data)},
            "delete": {"enabled": not read_only},
            "maintenance": {"readonly": {"enabled": read_only}},
        },
        "http": http,
    }
    directory = layout.configuration(name)
    file = str(directory / "config.yml")
    return Service(
        name,
        (_REGISTRY_PROGRAM, "serve", file),
        prepare=() if read_only else (_REGISTRY_PROGRAM, "garbage-collect", file),
        uid=layout.uid(User.REGISTRY),
        role=Role.SERVER,
        namespace=layout.network.control_name,
        readable=readable,
        writable=writable,
        socket=socket,
        configuration={"config.yml": yaml.safe_dump(configuration, sort_keys=False)},
        configured=directory,
        health=f"https://{layout.registry}/" if read_only else "",
    )
