"""A device plug-in of one resource: the gRPC server that the kubelet calls."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

from monopod.node.devices import device_plugin_pb2 as wire
from monopod.node.devices.device import Device

VERSION: Final = "v1beta1"
KUBELET: Final = "kubelet.sock"
"""Name of the kubelet's socket in the directory of device plug-ins."""
MACHINES: Final = 1024
"""Number of a device's units: each can be opened by any number of processes."""
_HEALTHY: Final = "Healthy"
_UNHEALTHY: Final = "Unhealthy"
_REGISTER_S: Final = 10.0
Present = Callable[[], bool]
"""Returns whether the host has the device now."""


class DevicePlugin:
    """Offers one device of a host, as often as ``MACHINES``."""

    def __init__(self, device: Device, present: Present, every_s: float = 5.0) -> None:
        """Configure the plug-in.

        Args:
            device: The device, whose node exists.
            present: Whether the host has it now.
            every_s: Period in seconds in which that is looked at.
        """
        self.device = device
        self._present = present
        self._every_s = every_s

    @property
    def endpoint(self) -> str:
        """The name of its socket in the directory of device plug-ins."""
        return f"{self.device.resource.replace('/', '_')}.sock"

    def options(self) -> wire.DevicePluginOptions:
        """Return which of the optional calls it has: none."""
        return wire.DevicePluginOptions()

    async def list_and_watch(self) -> AsyncIterator[wire.ListAndWatchResponse]:
        """Yield its units, and again when their health changes."""
        said: bool | None = None
        while True:
            present = self._present()
            if present != said:
                said = present
                yield self._units(present)
            await asyncio.sleep(self._every_s)

    def allocate(self, request: wire.AllocateRequest) -> wire.AllocateResponse:
        """Return what each container gets: the device once, however many units it asks for."""
        given = wire.ContainerAllocateResponse(
            envs=self.device.environment,
            devices=[
                wire.DeviceSpec(
                    container_path=str(self.device.path),
                    host_path=str(self.device.path),
                    permissions="rw",
                )
            ],
        )
        return wire.AllocateResponse(
            container_responses=[given for _ in request.container_requests]
        )

    def _units(self, present: bool) -> wire.ListAndWatchResponse:
        health = _HEALTHY if present else _UNHEALTHY
        names = (f"{self.device.misc_name}-{number}" for number in range(MACHINES))
        return wire.ListAndWatchResponse(
            devices=[wire.Device(ID=name, health=health) for name in names]
        )


@asynccontextmanager
async def serving(plugin: DevicePlugin, directory: Path) -> AsyncGenerator[Path]:
    """Serve a plug-in on a socket in the kubelet's directory for the length of a block.

    Yields:
        The socket.

    Raises:
        OSError: An earlier socket cannot be removed.
    """
    socket = directory / plugin.endpoint
    socket.unlink(missing_ok=True)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(plugin),))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield socket
    finally:
        # The kubelet's watch never ends.
        await server.stop(grace=None)
        socket.unlink(missing_ok=True)


async def register(plugin: DevicePlugin, directory: Path) -> None:
    """Tell the kubelet of a plug-in that is served.

    Raises:
        grpc.aio.AioRpcError: There is no kubelet, or it refused.
    """
    async with grpc.aio.insecure_channel(f"unix:{directory / KUBELET}") as channel:
        call = channel.unary_unary(
            "/v1beta1.Registration/Register",
            request_serializer=wire.RegisterRequest.SerializeToString,
            response_deserializer=wire.Empty.FromString,
        )
        request = wire.RegisterRequest(
            version=VERSION,
            endpoint=plugin.endpoint,
            resource_name=plugin.device.resource,
            options=plugin.options(),
        )
        await call(request, timeout=_REGISTER_S)


def _handlers(plugin: DevicePlugin) -> grpc.GenericRpcHandler:
    async def options(_: wire.Empty, __: object) -> wire.DevicePluginOptions:
        return plugin.options()

    async def watch(_: wire.Empty, __: object) -> AsyncIterator[wire.ListAndWatchResponse]:
        # gRPC takes an asynchronous generator for one only where it is defined as such.
        async for each in plugin.list_and_watch():
            yield each

    async def allocate(request: wire.AllocateRequest, _: object) -> wire.AllocateResponse:
        return plugin.allocate(request)

    return grpc.method_handlers_generic_handler(
        f"{VERSION}.DevicePlugin",
        {
            "GetDevicePluginOptions": grpc.unary_unary_rpc_method_handler(
                options,
                wire.Empty.FromString,
                wire.DevicePluginOptions.SerializeToString,
            ),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                watch,
                wire.Empty.FromString,
                wire.ListAndWatchResponse.SerializeToString,
            ),
            "Allocate": grpc.unary_unary_rpc_method_handler(
                allocate,
                wire.AllocateRequest.FromString,
                wire.AllocateResponse.SerializeToString,
            ),
        },
    )
