"""Reads a snapshot from a real API server."""

from datetime import UTC, datetime

import pytest
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event, Pod
from msgspec import convert

from monopod.api.names import machine_name
from monopod.api.resources import MicroVM, MicroVMSpec, PodReference
from monopod.explain import UnknownPodError, explain, gather
from monopod.kube import Client, uid_of

pytestmark = pytest.mark.api

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def made(admin: Client, namespace: str, name: str) -> Pod:
    pod = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "schedulerName": "fargate-scheduler",
            "containers": [{"name": "main", "image": "example.invalid/none"}],
        },
    }
    return await admin.create(convert(pod, Pod))


async def test_a_pod_with_its_machine_and_its_warnings(admin: Client, namespace: str) -> None:
    pod = await made(admin, namespace, "web")
    uid = uid_of(pod)
    machine = await admin.create(
        MicroVM(
            metadata=ObjectMeta(name=machine_name(uid)),
            spec=MicroVMSpec(
                podRef=PodReference(namespace=namespace, name="web", uid=uid),
                profile="fp",
                subnet="private-a",
                milliCPU=250,
                memoryMiB=512,
            ),
        )
    )
    try:
        for type_, second in (("Warning", 1), ("Warning", 2), ("Normal", 3)):
            await admin.create(
                Event(
                    metadata=ObjectMeta(name=f"web.{second}", namespace=namespace),
                    involvedObject=ObjectReference(
                        kind="Pod", name="web", namespace=namespace, uid=uid
                    ),
                    type=type_,
                    reason=f"Said{second}",
                    message="so",
                    lastTimestamp=NOW.replace(second=second),
                )
            )
        found = await gather(admin, namespace, "web", NOW)
    finally:
        await admin.delete(MicroVM, machine_name(uid))
    assert uid_of(found.pod) == uid
    assert found.machine is not None
    assert uid_of(found.machine) == uid_of(machine)
    assert [warned.reason for warned in found.warnings] == ["Said2", "Said1"]
    assert explain(found).headline == f"{namespace}/web: Pending"


async def test_an_unknown_pod_s_error_lists_known_ones(admin: Client, namespace: str) -> None:
    name = f"web-of-{namespace}"
    with pytest.raises(UnknownPodError, match="which has no pods"):
        await gather(admin, namespace, name, NOW)
    await made(admin, namespace, f"{name}-1")
    await made(admin, namespace, "other")
    with pytest.raises(UnknownPodError, match=rf"no pod {name} in .*; there are {name}-1$"):
        await gather(admin, namespace, name, NOW)
    await made(admin, namespace, name)
    with pytest.raises(UnknownPodError, match=rf"there is one in {namespace}: name it with -n"):
        await gather(admin, "default", name, NOW)
