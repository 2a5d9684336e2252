"""Invalid input: one clear message on the right object, and no leftovers."""

import pytest
import yaml

from monopod.controllers.scheduler.decide import machine_name
from monopod.util.process import ProcessError
from tests.e2e.cluster import Namespace, ask_for_machine, pod
from tests.framework.eventually import eventually

pytestmark = pytest.mark.e2e


async def _condition(namespace: Namespace, name: str) -> tuple[str, str]:
    await namespace.wait("condition=PodScheduled=False", f"pod/{name}", timeout_s=30)
    conditions = (await namespace.get("pod", name))["status"]["conditions"]
    (scheduled,) = [each for each in conditions if each["type"] == "PodScheduled"]
    return scheduled["reason"], scheduled["message"]


async def _event(namespace: Namespace, name: str, words: str) -> None:
    """Wait until an event of a pod says this: an event is written after its condition."""

    async def said() -> bool:
        events = await namespace.kubectl(
            "get", "events", f"--field-selector=involvedObject.name={name}",
            "-o", "jsonpath={range .items[*]}{.reason} {.message}{'\\n'}{end}",
        )  # fmt: skip
        assert words in events, events
        return True

    await eventually(said, f"an event of {name}: {words}", 30, every_s=0.2)


async def test_a_pod_larger_than_the_table(namespace: Namespace, image: str) -> None:
    await namespace.apply(pod("huge", image, container={"resources": {"requests": {"cpu": "17"}}}))
    reason, message = await _condition(namespace, "huge")
    assert reason == "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE"
    assert message == "Your pod's cpu/memory requirements exceed the max Fargate configuration"
    await _event(namespace, "huge", message)


@pytest.mark.row("S5")
async def test_a_size_that_this_host_never_has_room_for(namespace: Namespace, image: str) -> None:
    requests = {"requests": {"cpu": "16", "memory": "119Gi"}}
    giant = pod("giant", image, container={"resources": requests})
    giant["metadata"]["annotations"] = {"monopod.dev/driver": "gvisor"}
    await namespace.apply(giant)
    await namespace.wait(
        "jsonpath={.status.conditions[?(@.type=='PodScheduled')].reason}=CapacityUnavailable",
        "pod/giant",
        timeout_s=30,
    )
    _, message = await _condition(namespace, "giant")
    said = (
        "Fargate capacity is unavailable at this time. "
        "Please try again later or in a different availability zone"
    )
    assert message.startswith(said)
    assert "The pod needs 16 vCPU and 122112 MiB of memory" in message
    assert "it is provisioned 16 vCPU 120 GB" in message
    assert "16 vCPU requested" in message
    assert "never fits this host" in message
    await _event(namespace, "giant", message)
    await namespace.kubectl("delete", "pod", "giant", "--wait=false")


@pytest.mark.row("S1")
@pytest.mark.parametrize(
    ("word", "reason", "said"),
    [
        (
            "firecracker",
            "UnknownDriver",
            "valid values are uml, gvisor, qemu, qemu-tcg, qemu-kvm, linux",
        ),
        ("qemu-kvm", "DriverUnavailable", "Requested driver qemu-kvm is unavailable:"),
    ],
)
async def test_a_driver_that_this_host_has_not(
    namespace: Namespace, image: str, word: str, reason: str, said: str
) -> None:
    if word == "qemu-kvm" and "qemu-kvm  up to" in await namespace.cluster.monopod("status"):
        pytest.skip("this host has KVM")
    insisting = pod("choosy", image)
    insisting["metadata"]["annotations"] = {"monopod.dev/driver": word}
    await namespace.apply(insisting)
    await namespace.wait(
        f"jsonpath={{.status.conditions[?(@.type=='PodScheduled')].reason}}={reason}",
        "pod/choosy",
        timeout_s=30,
    )
    _, message = await _condition(namespace, "choosy")
    assert said in message
    await _event(namespace, "choosy", said)
    await namespace.kubectl("delete", "pod", "choosy")


@pytest.mark.row("S8")
async def test_an_unknown_profile_label_waits_until_the_profile_exists(
    namespace: Namespace, image: str
) -> None:
    """The pod stays Pending with the reason, and goes on without being deleted."""
    await namespace.apply(
        pod("early", image, labels={"eks.amazonaws.com/fargate-profile": "fp-later"},
            schedulerName="fargate-scheduler")
    )  # fmt: skip
    _, message = await _condition(namespace, "early")
    assert "fp-later" in message
    try:
        await namespace.cluster.apply(
            {
                "apiVersion": "monopod.dev/v1alpha1",
                "kind": "FargateProfile",
                "metadata": {"name": "fp-later"},
                "spec": {
                    "selectors": [{"namespace": namespace.name}],
                    "podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e",
                },
            }
        )
        await namespace.ready("early")
        await _event(namespace, "early", "FailedSchedulingResolved Resolved: ")
        await namespace.kubectl("delete", "pod", "early")
    finally:
        await namespace.cluster.kubectl("delete", "fargateprofile", "fp-later")


async def test_an_image_that_does_not_exist(namespace: Namespace, image: str) -> None:
    missing = image.rsplit("/", 1)[0] + "/not-there:1"
    await namespace.apply(pod("imageless", missing))
    await namespace.wait(
        "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff",
        "pod/imageless",
    )
    await _event(namespace, "imageless", "not found")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"selectors": []}, "selectors"),
        ({"selectors": [{"namespace": ""}]}, "namespace"),
        ({"selectors": [{"namespace": "x"}] * 6}, "selectors"),
        (
            {"selectors": [{"namespace": "x", "labels": {f"k{n}": "v" for n in range(6)}}]},
            "labels",
        ),
    ],
)
async def test_malformed_profiles_name_the_bad_field(
    namespace: Namespace, spec: dict[str, object], words: str
) -> None:
    with pytest.raises(ProcessError, match=words):
        await namespace.cluster.apply(
            {
                "apiVersion": "monopod.dev/v1alpha1",
                "kind": "FargateProfile",
                "metadata": {"name": "malformed"},
                "spec": {"podExecutionRoleArn": "arn:aws:iam::000000000000:role/e2e", **spec},
            }
        )


async def test_profiles_cannot_change(namespace: Namespace) -> None:
    with pytest.raises(ProcessError, match="immutable"):
        await namespace.cluster.kubectl(
            "patch", "fargateprofile", namespace.profile, "--type=merge",
            "-p", '{"spec":{"selectors":[{"namespace":"other"}]}}',
        )  # fmt: skip


@pytest.mark.row("S9")
async def test_daemonsets_never_land_on_a_machine(namespace: Namespace, image: str) -> None:
    """Not even one that tolerates everything, and not even while the machine has no pod yet."""
    await namespace.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "everywhere"},
            "spec": {
                "selector": {"matchLabels": {"app": "everywhere"}},
                "template": {
                    "metadata": {"labels": {"app": "everywhere"}},
                    "spec": {
                        "tolerations": [{"operator": "Exists"}],
                        "containers": [
                            {"name": "main", "image": image, "command": ["sleep", "infinity"]}
                        ],
                    },
                },
            },
        },
        pod("neighbour", image),
    )
    await namespace.ready("neighbour")
    for each in (await namespace.get("pods", "-l", "app=everywhere"))["items"]:
        assert "nodeName" not in each["spec"], each
    await namespace.kubectl("delete", "daemonset", "everywhere")


async def test_a_full_disk_in_the_guest_is_reported(namespace: Namespace, image: str) -> None:
    await namespace.apply(
        pod(
            "filler",
            image,
            "dd if=/dev/zero of=/tmp/file bs=1M; echo full; exec sleep infinity",
            container={"resources": {"limits": {"ephemeral-storage": "64Mi"}}},
            restartPolicy="Never",
        ),
    )
    await namespace.wait("jsonpath={.status.reason}=Evicted", "pod/filler", timeout_s=240)


@pytest.mark.row("S10")
@pytest.mark.row("S11")
async def test_unsupported_fields_are_refused_in_fargate_s_words(
    namespace: Namespace, image: str
) -> None:
    await namespace.apply(
        pod(
            "mighty",
            image,
            hostNetwork=True,
            container={
                "securityContext": {"privileged": True},
                "ports": [{"containerPort": 80, "hostPort": 80}],
            },
            securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "p"}},
        )
    )
    _, message = await _condition(namespace, "mighty")
    assert message == (
        "Pod not supported on Fargate: fields not supported: HostNetwork, "
        "invalid SecurityContext fields: SeccompProfile: Localhost,Privileged, "
        "port contains HostIP or HostPort"
    )


async def test_a_pod_rejected_by_its_kubelet_releases_its_machine(
    namespace: Namespace, image: str
) -> None:
    """The scheduler refuses it; with a machine all the same, the kubelet's word is final."""
    sysctls = [{"name": "net.core.somaxconn", "value": "1024"}]
    await namespace.apply(pod("tuned", image, securityContext={"sysctls": sysctls}))
    reason, message = await _condition(namespace, "tuned")
    assert reason == "POD_UNSUPPORTED_ON_FARGATE"
    assert message.endswith("invalid SecurityContext fields: Sysctls: net.core.somaxconn")
    await ask_for_machine(namespace, "tuned")
    uid = (await namespace.get("pod", "tuned"))["metadata"]["uid"]
    await namespace.wait("jsonpath={.status.reason}=SysctlForbidden", "pod/tuned")
    await namespace.wait("delete", f"microvm/{machine_name(uid)}", timeout_s=30)
    await _event(namespace, "tuned", "MicroVMReleased")


@pytest.mark.row("S3")
@pytest.mark.row("S11")
async def test_kubectl_shows_at_once_what_fargate_does_not_run(
    namespace: Namespace, image: str
) -> None:
    """A Deployment that is unsupported is created, with a warning to the client."""
    template = pod("unheard", image, hostNetwork=True)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "unheard", "namespace": namespace.name},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "unheard"}},
            "template": {"metadata": template["metadata"], "spec": template["spec"]},
        },
    }
    async with namespace.cluster.spawned("apply", "-f", "-") as kubectl:
        _, stderr = await kubectl.communicate(yaml.safe_dump(deployment).encode())
    assert kubectl.returncode == 0
    said = stderr.decode()
    assert "Warning: Pod not supported on Fargate: fields not supported: HostNetwork\n" in said
    assert "Deployment unheard: its pods match Fargate profile fp-e2e" in said
    await namespace.kubectl("delete", "deployment", "unheard")


@pytest.mark.row("S8")
async def test_what_is_said_of_a_claim_is_what_is_true_now(
    namespace: Namespace, image: str
) -> None:
    """On AWS a pod goes on saying "not bound" of what is bound by now (roadmap #1382)."""
    name = f"{namespace.name}-volume"
    claim = {"claimName": "data"}
    await namespace.apply(
        pod("claims", image, volumes=[{"name": "data", "persistentVolumeClaim": claim}])
    )
    _, message = await _condition(namespace, "claims")
    assert message.endswith('persistentvolumeclaim "data" not found')
    wanted = {"accessModes": ["ReadWriteMany"], "storageClassName": "by-hand"}
    await namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {**wanted, "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    condition = "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}="
    lead = "Pod not supported on Fargate: volumes not supported: data not supported because: "
    await namespace.wait(f"{condition}{lead}PVC data not bound", "pod/claims", timeout_s=30)
    await namespace.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **wanted,
                "capacity": {"storage": "1Gi"},
                "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"},
                "claimRef": {"namespace": namespace.name, "name": "data"},
            },
        }
    )
    try:
        bound = f"PVC data bound to invalid PV {name} with CSI Driver: ebs.csi.aws.com"
        await namespace.wait(f"{condition}{lead}{bound}", "pod/claims", timeout_s=60)
    finally:
        await namespace.kubectl("delete", "pod/claims", "pvc/data")
        await namespace.cluster.kubectl("delete", "pv", name)
