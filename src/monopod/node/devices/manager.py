"""Keeps plug-ins registered: a kubelet that starts removes the sockets and forgets all of them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
import structlog

from monopod.node.devices.plugin import KUBELET, DevicePlugin, register, serving
from monopod.util.concurrency import run_concurrently

_AGAIN_S: Final = 2.0
_log: Final = structlog.get_logger("devices")


async def run(
    plugins: Sequence[DevicePlugin],
    directory: Path,
    ready: Callable[[], None],
    *,
    every_s: float = _AGAIN_S,
) -> None:
    """Serve plug-ins and register each with every kubelet that starts, until cancelled.

    Args:
        plugins: The plug-ins.
        directory: The kubelet's directory of device plug-ins.
        ready: Called once all are registered.
        every_s: Period in seconds in which the sockets are looked at.
    """
    registered: set[str] = set()

    def done(plugin: DevicePlugin) -> None:
        registered.add(plugin.endpoint)
        if len(registered) == len(plugins):
            ready()

    if not plugins:
        ready()
        await asyncio.Event().wait()
    await run_concurrently(*(_keep(each, directory, done, every_s) for each in plugins))


async def _keep(
    plugin: DevicePlugin,
    directory: Path,
    done: Callable[[DevicePlugin], None],
    every_s: float,
) -> None:
    while True:
        kubelet = _identity(directory / KUBELET)
        if kubelet is not None:
            async with serving(plugin, directory) as socket:
                if await _registered(plugin, directory):
                    done(plugin)
                    # A kubelet that starts replaces its socket, and removes all others.
                    while socket.exists() and _identity(directory / KUBELET) == kubelet:  # noqa: ASYNC110
                        await asyncio.sleep(every_s)
                    _log.info("kubelet_restarted", resource=plugin.device.resource)
        await asyncio.sleep(every_s)


async def _registered(plugin: DevicePlugin, directory: Path) -> bool:
    resource = plugin.device.resource
    try:
        await register(plugin, directory)
    except grpc.aio.AioRpcError as error:
        _log.warning("not_registered", resource=resource, why=error.details())
        return False
    _log.info("registered", resource=resource)
    return True


def _identity(socket: Path) -> tuple[int, int] | None:
    """Return what differs between a socket and a later one of its name; None if there is none."""
    try:
        found = socket.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns
