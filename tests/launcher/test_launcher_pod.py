"""The launcher pod: its object, and what its status says."""

import json
from ipaddress import IPv4Address
from typing import Any

import msgspec
import pytest
from lightkube.resources.core_v1 import Pod

from monopod.fargate.sizing import Size
from monopod.node.launcher.plan import MachinePlan
from monopod.node.provider import PlacementRequest, launcher_pod
from monopod.node.provider.launcher_pod import Phase
from monopod.node.provider.launcher_settings import LauncherSettings

pytestmark = pytest.mark.unit

WANTED = PlacementRequest(
    "mvm-0123456789",
    "uid-1",
    Size(250, 512),
    20,
    IPv4Address("100.64.3.4"),
    "shop",
    "zone-a",
)
SETTINGS = LauncherSettings(image="example.test/launcher:1")


def made(settings: LauncherSettings = SETTINGS, driver: str = "gvisor") -> dict[str, Any]:
    return json.loads(msgspec.json.encode(launcher_pod.launcher_pod(WANTED, driver, settings)))


def with_status(status: dict[str, Any], **metadata: Any) -> Pod:
    pod = made()
    pod["metadata"] |= metadata
    return msgspec.convert(pod | {"status": status}, Pod)


@pytest.mark.row("S17")
def test_the_container_of_the_vmm_has_no_privilege() -> None:
    spec = made()["spec"]
    (machine,) = spec["containers"]
    context = machine["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["runAsNonRoot"] is True
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["hostUsers"] is False
    assert {each["name"] for each in spec["volumes"]} == {"shared", "disks"}
    assert all("emptyDir" in each for each in spec["volumes"])


def test_the_router_has_two_capabilities_and_no_more() -> None:
    (network,) = made()["spec"]["initContainers"]
    capabilities = network["securityContext"]["capabilities"]
    assert capabilities == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert network["restartPolicy"] == "Always"


def test_without_user_namespaces_each_machine_has_its_own_user() -> None:
    settings = SETTINGS.model_copy(update={"user_namespaces": False})
    (machine,) = made(settings)["spec"]["containers"]
    assert machine["securityContext"]["runAsUser"] > 1_000_000_000


@pytest.mark.row("S17")
@pytest.mark.parametrize("driver", ["uml", "qemu-tcg", "qemu-kvm"])
def test_other_drivers_have_no_more_privilege(driver: str) -> None:
    settings = SETTINGS.model_copy(update={"linux_image": "example.test/linux:1"})
    expected, found = made(settings)["spec"], made(settings, driver)["spec"]
    for kind in ("containers", "initContainers"):
        (one,), (other,) = expected[kind], found[kind]
        profile = {"type": "Unconfined" if driver == "uml" else "RuntimeDefault"}
        expected_context = one["securityContext"]
        if kind == "containers":
            expected_context = {**expected_context, "seccompProfile": profile}
        assert other["securityContext"] == expected_context
        assert other["image"] == "example.test/linux:1"
    assert found["securityContext"] == expected["securityContext"]
    assert all("emptyDir" in each for each in found["volumes"])


def test_a_uml_guests_memory_is_a_file_in_memory() -> None:
    spec = made(SETTINGS.model_copy(update={"linux_image": "linux:1"}), "uml")["spec"]
    (machine,) = spec["containers"]
    (mount,) = (each for each in machine["volumeMounts"] if each["mountPath"] == "/dev/shm")
    (volume,) = (each for each in spec["volumes"] if each["name"] == mount["name"])
    assert volume["emptyDir"]["medium"] == "Memory"


def test_devices_are_resources_of_the_container_that_opens_them() -> None:
    spec = made(SETTINGS.model_copy(update={"linux_image": "linux:1"}), "qemu-kvm")["spec"]
    (machine,), (network,) = spec["containers"], spec["initContainers"]
    assert machine["resources"]["limits"]["monopod.dev/kvm"] == "1"
    assert network["resources"]["limits"]["monopod.dev/tun"] == "1"
    assert "monopod.dev/tun" not in machine["resources"]["limits"]


@pytest.mark.row("S1")
def test_it_requests_the_machines_size_and_overhead_in_the_subnets_zone() -> None:
    spec = made()["spec"]
    (machine,) = spec["containers"]
    assert machine["resources"]["requests"] == {
        "cpu": "350m",
        "memory": "655Mi",
        "ephemeral-storage": "20Gi",
    }
    assert spec["nodeSelector"]["topology.kubernetes.io/zone"] == "zone-a"


def test_it_is_owned_by_its_microvm_and_has_none_of_the_pods_labels() -> None:
    metadata = made()["metadata"]
    assert [each["uid"] for each in metadata["ownerReferences"]] == ["uid-1"]
    assert metadata["labels"] == {
        "monopod.dev/microvm": "mvm-0123456789",
        "monopod.dev/pod-namespace": "shop",
    }


def test_the_plan_is_read_from_the_pod() -> None:
    plan = MachinePlan("mvm-0123456789", "gvisor", 250, 512, 20, IPv4Address("100.64.3.4"))
    assert launcher_pod.plan_of(with_status({})) == plan


def test_a_pod_without_a_node_says_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    found = launcher_pod.read(with_status({"conditions": [condition]}))
    assert found.phase is Phase.PENDING
    assert found.unschedulable
    assert "0/2 nodes are available" in found.why


def test_a_waiting_container_says_why() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image"}
    status = {
        "initContainerStatuses": [_container("network", {"waiting": waiting})],
    }
    found = launcher_pod.read(with_status(status))
    assert not found.unschedulable
    assert found.why.endswith("does not run: ImagePullBackOff: no such image")


def test_an_address_is_a_place_and_an_annotation_a_machine() -> None:
    status = {"podIP": "10.244.1.7"}
    found = launcher_pod.read(with_status(status))
    assert (found.phase, found.address) == (Phase.PLACED, IPv4Address("10.244.1.7"))
    annotated = {"monopod.dev/configured": "gvisor"}
    found = launcher_pod.read(with_status(status, annotations=annotated))
    assert (found.phase, found.driver) == (Phase.RUNNING, "gvisor")


@pytest.mark.parametrize(
    ("terminated", "reason"),
    [
        ({"message": '{"reason": "GuestPanicked", "message": "panic: x"}'}, "GuestPanicked"),
        ({"reason": "OOMKilled", "message": ""}, "VmmOutOfMemory"),
        ({"reason": "Error", "message": "no JSON"}, "VmmKilled"),
    ],
)
def test_the_end_of_the_vmm_is_the_machines(terminated: dict[str, str], reason: str) -> None:
    ended = {"terminated": {"exitCode": 1, **terminated}}
    found = launcher_pod.read(with_status({"containerStatuses": [_container("machine", ended)]}))
    assert found.phase is Phase.ENDED
    assert found.ended is not None
    assert found.ended.reason == reason


def test_an_evicted_pod_is_the_machines_end() -> None:
    status = {"phase": "Failed", "reason": "Evicted", "message": "low on disk"}
    found = launcher_pod.read(with_status(status))
    assert found.ended is not None
    assert found.ended.message.endswith("Evicted: low on disk")


def _container(name: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "state": state,
        "ready": False,
        "restartCount": 0,
        "image": "i",
        "imageID": "i",
    }
