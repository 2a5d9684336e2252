"""The device plug-in, called over real gRPC as the kubelet calls it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest

from monopod.node.devices import device_plugin_pb2 as wire
from monopod.node.devices import manager
from monopod.node.devices.device import KVM, TUN, is_listed
from monopod.node.devices.plugin import KUBELET, MACHINES, DevicePlugin, serving
from tests.framework.eventually import eventually

pytestmark = pytest.mark.unit

MISC = "232 kvm\n200 tun\n235 autofs\n"
NODE = "/var/lib/monopod-devices/kvm"


class Kubelet:
    """The kubelet's registry of device plug-ins, on its socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.registered: list[wire.RegisterRequest] = []

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Start as a kubelet does: with a new socket, and without those of earlier plug-ins."""
        for socket in self.directory.iterdir():
            socket.unlink()

        async def register(request: wire.RegisterRequest, _: object) -> wire.Empty:
            self.registered.append(request)
            return wire.Empty()

        server = grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            register, wire.RegisterRequest.FromString, wire.Empty.SerializeToString
        )
        handlers = {"Register": handler}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v1beta1.Registration", handlers),)
        )
        server.add_insecure_port(f"unix:{self.directory / KUBELET}")
        await server.start()
        try:
            yield
        finally:
            await server.stop(grace=None)


def plugin(present: Callable[[], bool] = lambda: True) -> DevicePlugin:
    device = replace(KVM, environment={"MONOPOD_KVM_PROCESSOR": "host"})
    return DevicePlugin(device, present, every_s=0.01)


@asynccontextmanager
async def calls(served: DevicePlugin, directory: Path) -> AsyncGenerator[grpc.aio.Channel]:
    async with (
        serving(served, directory) as socket,
        grpc.aio.insecure_channel(f"unix:{socket}") as channel,
    ):
        yield channel


async def test_each_container_gets_the_device_once(tmp_path: Path) -> None:
    request = wire.AllocateRequest(
        container_requests=[
            wire.ContainerAllocateRequest(devices_ids=["kvm-1", "kvm-2"]),
            wire.ContainerAllocateRequest(devices_ids=["kvm-3"]),
        ]
    )
    async with calls(plugin(), tmp_path) as channel:
        allocate = channel.unary_unary(
            "/v1beta1.DevicePlugin/Allocate",
            request_serializer=wire.AllocateRequest.SerializeToString,
            response_deserializer=wire.AllocateResponse.FromString,
        )
        answer = await allocate(request)
    assert len(answer.container_responses) == 2
    for given in answer.container_responses:
        (device,) = given.devices
        assert (device.container_path, device.host_path) == (NODE, NODE)
        assert device.permissions == "rw"
        assert dict(given.envs) == {"MONOPOD_KVM_PROCESSOR": "host"}


async def test_the_kubelet_hears_when_the_device_is_gone(tmp_path: Path) -> None:
    present = True
    async with calls(plugin(lambda: present), tmp_path) as channel:
        watch = channel.unary_stream(
            "/v1beta1.DevicePlugin/ListAndWatch",
            request_serializer=wire.Empty.SerializeToString,
            response_deserializer=wire.ListAndWatchResponse.FromString,
        )(wire.Empty())
        first = await watch.read()
        present = False
        second = await watch.read()
        assert isinstance(first, wire.ListAndWatchResponse)
        assert isinstance(second, wire.ListAndWatchResponse)
        watch.cancel()
    assert [each.health for each in first.devices] == ["Healthy"] * MACHINES
    assert {each.health for each in second.devices} == {"Unhealthy"}
    assert {each.ID for each in second.devices} == {each.ID for each in first.devices}


async def test_devices_are_registered_with_every_kubelet_that_starts(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path)
    ready = asyncio.Event()
    tun = DevicePlugin(TUN, lambda: True)
    work = asyncio.create_task(manager.run([plugin(), tun], tmp_path, ready.set, every_s=0.01))
    try:
        async with kubelet.running():
            await asyncio.wait_for(ready.wait(), 30)
        first = {each.resource_name: each.endpoint for each in kubelet.registered}
        assert first == {
            "monopod.dev/kvm": "monopod.dev_kvm.sock",
            "monopod.dev/tun": "monopod.dev_tun.sock",
        }
        kubelet.registered.clear()
        async with kubelet.running():
            await eventually(lambda: len(kubelet.registered) == 2)
            assert all((tmp_path / each.endpoint).exists() for each in kubelet.registered)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("monopod*")))


def test_only_what_the_kernel_lists_is_there() -> None:
    assert is_listed(KVM, MISC)
    assert not is_listed(KVM, MISC.replace("232", "233"))
    assert not is_listed(TUN, "232 kvm\n")
