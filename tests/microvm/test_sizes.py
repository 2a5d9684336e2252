"""Every size of the table, from a pod's requests to its machine's limits and node's labels."""

from ipaddress import IPv4Address

import pytest

from monopod.controllers.microvm import nodes
from monopod.controllers.microvm.nodes import Place
from monopod.fargate import sizing
from monopod.fargate.sizing import TABLE, Size
from monopod.node.provider.driver_selection import Candidate, choose
from monopod.node.provider.host_capacity import check_fits
from monopod.node.provider.settings import LocalSettings
from monopod.node.vmm import qemu, uml
from monopod.node.vmm.qemu_command import Accelerator
from tests.framework.builders import pod
from tests.microvm.build import machine
from tests.scheduler.test_decide import claimed

pytestmark = pytest.mark.unit

DRIVERS = (Candidate("uml", 1000), Candidate("qemu-tcg", 16000), Candidate("qemu-kvm", 16000, "no"))


def test_the_table_has_as_many_sizes_as_aws_publishes() -> None:
    assert len(set(TABLE)) == 74


@pytest.mark.row("S5")
@pytest.mark.parametrize("size", TABLE, ids=str)
def test_a_size_reaches_the_machine_and_its_node(size: Size) -> None:
    # The largest request of this size: Fargate adds 256 MiB to a pod's memory.
    memory_mib = size.memory_mib - sizing.RESERVED_MEMORY_MIB
    wanted = pod(requests={"cpu": f"{size.milli_cpu}m", "memory": f"{memory_mib}Mi"})
    spec = claimed(wanted).spec
    assert (spec.milliCPU, spec.memoryMiB) == (size.milli_cpu, size.memory_mib)

    choice = choose(spec.milliCPU, spec.driver, DRIVERS, tcg=True)
    assert choice.driver == ("uml" if size.milli_cpu <= 1000 else "qemu-tcg")
    vcpus = qemu.processors(spec.milliCPU)
    assert vcpus * 1000 == max(size.milli_cpu, 1000)
    if choice.driver == "uml":
        guest_mib = uml.guest_memory_mib(spec.memoryMiB)
        most_mib = guest_mib
    else:
        guest_mib = qemu.guest_memory_mib(spec.memoryMiB, vcpus)
        most_mib = guest_mib + qemu.overhead_mib(Accelerator.TCG, guest_mib)
    assert guest_mib > size.memory_mib

    counted = spec.memoryMiB + LocalSettings().overhead_mib(choice.driver, spec.memoryMiB)
    assert counted >= most_mib
    share = Size(spec.milliCPU, counted)
    check_fits(share, [], share)

    made = machine()
    made.spec = spec
    found = nodes.labels(made, IPv4Address("192.168.1.9"), Place("local-1", "local-1a"))
    kind = found["node.kubernetes.io/instance-type"]
    assert kind == f"fargate-{size.milli_cpu / 1000:g}vcpu-{size.memory_mib / 1024:g}gb"
    assert found["topology.kubernetes.io/zone"] == "local-1a"
    assert found["topology.kubernetes.io/region"] == "local-1"


def test_no_two_sizes_have_the_same_type() -> None:
    assert len({sizing.instance_type(size) for size in TABLE}) == 74


@pytest.mark.parametrize(
    ("wish", "fits"), [("fargate-0.25vcpu-0.5gb", True), ("fargate-1vcpu-2gb", False)]
)
def test_a_pod_may_select_its_size(wish: str, fits: bool) -> None:
    selecting = pod(nodeSelector={"node.kubernetes.io/instance-type": wish})
    if fits:
        assert claimed(selecting)
    else:
        with pytest.raises(AssertionError):
            claimed(selecting)
