from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.core_v1 import PodSpec
from msgspec import convert

from monopod.fargate.sizing import (
    RESERVED_MEMORY_MIB,
    TABLE,
    PodTooLargeError,
    Role,
    Share,
    Size,
    StorageTooLargeError,
    arithmetic,
    provisioned_annotation,
    size_of,
    smallest,
    storage_gib_of,
)

pytestmark = pytest.mark.unit

MIB = 1 << 20


def container(name: str = "app", **requests: str) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in requests.items()}
    return {"name": name, "resources": {"requests": named}}


def sidecar(name: str, **requests: str) -> dict[str, Any]:
    return container(name, **requests) | {"restartPolicy": "Always"}


def pod(*containers: dict[str, Any], **fields: Any) -> PodSpec:
    return convert({"containers": containers or [container()], **fields}, PodSpec)


@pytest.mark.row("S1")
@pytest.mark.parametrize(
    ("requests", "annotation"),
    [
        ({"cpu": "250m", "memory": "1000Mi"}, "0.25vCPU 2GB"),
        ({"cpu": "255m", "memory": "1000Mi"}, "0.5vCPU 2GB"),
        ({"cpu": "260m", "memory": "1750Mi"}, "0.5vCPU 2GB"),
        ({"cpu": "255m", "memory": "1800Mi"}, "0.5vCPU 3GB"),
        ({"cpu": "255m", "memory": "10Gi"}, "2vCPU 11GB"),
        ({"cpu": "500m", "memory": "750Mi"}, "0.5vCPU 1GB"),
        ({"cpu": "1", "memory": "8Gi"}, "2vCPU 9GB"),
        ({}, "0.25vCPU 0.5GB"),
    ],
)
def test_published_points(requests: dict[str, str], annotation: str) -> None:
    assert provisioned_annotation(size_of(pod(container(**requests)))) == annotation


def test_table_has_exactly_the_published_sizes() -> None:
    options = {250: 3, 500: 4, 1000: 7, 2000: 13, 4000: 23, 8000: 12, 16000: 12}
    counted = {cpu: sum(size.milli_cpu == cpu for size in TABLE) for cpu in options}
    assert counted == options
    assert len(set(TABLE)) == len(TABLE) == 74
    assert list(TABLE) == sorted(TABLE)


@pytest.mark.parametrize(
    ("spec", "cpu_milli", "memory_mib"),
    [
        pytest.param(
            pod(container("a", cpu="100m"), container("b", cpu="200m", memory="64Mi")),
            300, 64, id="containers add up",
        ),
        pytest.param(
            pod(container(cpu="100m", memory="1Gi"),
                initContainers=[container("i", cpu="2"), container("j", memory="512Mi")]),
            2000, 1024, id="the greatest init container counts, resource by resource",
        ),
        pytest.param(
            pod(container(cpu="1"), initContainers=[sidecar("s", cpu="500m")]),
            1500, 0, id="a sidecar adds to the containers",
        ),
        pytest.param(
            pod(container(cpu="1"), initContainers=[
                sidecar("s", cpu="500m"), container("i", cpu="1200m")]),
            1700, 0, id="an init container runs with the sidecar before it",
        ),
        pytest.param(
            pod(container(cpu="1"), initContainers=[
                container("i", cpu="1600m"), sidecar("s", cpu="500m")]),
            1600, 0, id="but not with the sidecar after it",
        ),
        pytest.param(
            pod(container(cpu="1"), overhead={"cpu": "250m", "memory": "120Mi"}),
            1250, 120, id="overhead is added",
        ),
        pytest.param(
            pod(container(cpu="1", memory="1Gi"), resources={"requests": {"cpu": "3"}}),
            3000, 1024, id="pod-level requests take the containers' place, each its own",
        ),
        pytest.param(
            pod(container(cpu="1"), resources={"requests": {"cpu": "2"}}, overhead={"cpu": "1"}),
            3000, 0, id="overhead is added to pod-level requests",
        ),
        pytest.param(
            pod({"name": "a", "resources": {"limits": {"cpu": "4", "memory": "8Gi"}}}),
            4000, 8192, id="a limit alone counts, as in a workload's template",
        ),
        pytest.param(
            pod({"name": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}}),
            1000, 0, id="a limit above a request does not count",
        ),
        pytest.param(
            pod(container(), resources={"limits": {"cpu": "2", "memory": "4Gi"}}),
            2000, 4096, id="a limit of the whole pod counts where no container requests anything",
        ),
        pytest.param(
            pod(container(cpu="500m"), container("b", cpu="1"),
                initContainers=[container("i", memory="1Gi")],
                resources={"limits": {"cpu": "4", "memory": "4Gi"}}),
            1500, 1024, id="but not where one does: the containers' requests become the pod's",
        ),
        pytest.param(
            pod(container(cpu="1"), resources={"requests": {"cpu": "2"}, "limits": {"cpu": "4"}}),
            2000, 0, id="a request of the whole pod counts before its limit",
        ),
    ],
)  # fmt: skip
def test_demand(spec: PodSpec, cpu_milli: int, memory_mib: int) -> None:
    found = arithmetic(spec)
    assert (found.cpu.milli, found.memory.whole) == (cpu_milli, memory_mib * MIB)
    assert found.memory_needed_bytes == (memory_mib + RESERVED_MEMORY_MIB) * MIB


def test_arithmetic_names_the_containers_that_decided() -> None:
    found = arithmetic(
        pod(
            container("web", cpu="1", memory="100Mi"),
            container("idle"),
            initContainers=[
                sidecar("proxy", cpu="500m"),
                container("migrate", cpu="1200m"),
            ],
        )
    )
    assert found.cpu.shares == (
        Share("proxy", Role.SIDECAR, 500),
        Share("migrate", Role.INIT, 1200),
    )
    assert found.memory.shares == (Share("web", Role.APP, 100 * MIB * 1000),)
    assert found.size == Size(2000, 4096)


def test_the_largest_size_is_reached_and_not_exceeded() -> None:
    assert size_of(pod(container(cpu="16", memory="122624Mi"))) == Size(16000, 122880)
    for requests in ({"cpu": "16001m"}, {"memory": "122625Mi"}, {"memory": "9E"}):
        with pytest.raises(PodTooLargeError) as caught:
            size_of(pod(container(**requests)))
        assert caught.value.reason == "POD_CPU_MEM_EXCEEDS_MAX_FARGATE_SIZE"
        assert str(caught.value) == (
            "Your pod's cpu/memory requirements exceed the max Fargate configuration"
        )
        assert "16 vCPU 120 GB" in caught.value.detail


@pytest.mark.parametrize(
    ("requested", "gib"),
    [
        ("0", 20),
        ("1Gi", 20),
        ("13Gi", 20),
        ("14Gi", 21),
        ("50Gi", 60),
        ("51Gi", 62),
        ("100Gi", 115),
        ("175Gi", 198),
    ],
)
def test_storage(requested: str, gib: int) -> None:
    assert storage_gib_of(pod(container(ephemeral_storage=requested))) == gib


def test_storage_of_two_containers_is_as_published() -> None:
    half = container(ephemeral_storage="50Gi")
    assert storage_gib_of(pod(half, half | {"name": "b"})) == 115


def test_storage_of_containers_adds_up_to_a_maximum() -> None:
    half = container(ephemeral_storage="88Gi")
    with pytest.raises(StorageTooLargeError, match="ephemeral storage"):
        storage_gib_of(pod(half, half | {"name": "b"}))


cpus = st.integers(min_value=0, max_value=17_000)
memories = st.integers(min_value=0, max_value=125_000)


@given(cpus, memories)
def test_the_size_fits_and_no_smaller_one_does(milli: int, mib: int) -> None:
    found = arithmetic(pod(container(cpu=f"{milli}m", memory=f"{mib}Mi")))
    fitting = [s for s in TABLE if s.milli_cpu >= milli and s.memory_mib >= mib + 256]
    assert found.size == min(fitting, default=None)


@given(cpus, memories, cpus, memories)
def test_asking_for_more_never_gives_less(cpu: int, mib: int, more: int, more_mib: int) -> None:
    small, large = smallest(cpu, mib * MIB), smallest(cpu + more, (mib + more_mib) * MIB)
    assert large is None or (small is not None and small.milli_cpu <= large.milli_cpu)
    if small and large and small.milli_cpu == large.milli_cpu:
        assert small.memory_mib <= large.memory_mib


@given(st.integers(min_value=0, max_value=175 * 1024))
def test_storage_holds_what_is_requested(mib: int) -> None:
    given_gib = storage_gib_of(pod(container(ephemeral_storage=f"{mib}Mi")))
    # What a kubelet can promise of it: without ext4's inode tables and its eviction threshold.
    assert given_gib * 1024 * 0.98 * 0.95 >= mib
    assert given_gib >= 20
