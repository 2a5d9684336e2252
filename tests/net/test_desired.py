"""What objects ask of the router."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.resources import (
    MicroVM,
    MicroVMSpec,
    MicroVMStatus,
    PodReference,
    Subnet,
    SubnetSpec,
    Vpc,
    VpcSpec,
)
from monopod.controllers.vpc.desired import available_addresses, policy
from monopod.node.net.cluster_network import ClusterNetwork

pytestmark = pytest.mark.unit

_PLAN = ClusterNetwork("abcdef", 0)


def vpc(*blocks: str, name: str = "default") -> Vpc:
    return Vpc(metadata=ObjectMeta(name=name), spec=VpcSpec(cidrBlocks=list(blocks)))


def subnet(name: str, block: str, internet: str) -> Subnet:
    spec = SubnetSpec(vpc="default", cidrBlock=block, availabilityZone="a", internet=internet)
    return Subnet(metadata=ObjectMeta(name=name), spec=spec)


def machine(name: str, where: str, management: str = "", pod: str = "") -> MicroVM:
    reference = PodReference(namespace="default", name="pod", uid="1")
    spec = MicroVMSpec(podRef=reference, profile="fp", subnet=where, milliCPU=250, memoryMiB=512)
    status = MicroVMStatus(managementAddress=management, podAddress=pod)
    return MicroVM(metadata=ObjectMeta(name=name), spec=spec, status=status)


def networks(*texts: str) -> frozenset[IPv4Network]:
    return frozenset(map(IPv4Network, texts))


def test_ways_out_follow_subnets_and_their_machines() -> None:
    subnets = [
        subnet("nat", "192.168.1.0/24", "NAT"),
        subnet("gateway", "192.168.2.0/24", "Gateway"),
        subnet("none", "192.168.8.0/24", "None"),
    ]
    machines = [
        machine("mvm-1", "nat", "100.64.0.9"),
        machine("mvm-2", "gateway", "100.64.7.1"),
        machine("mvm-3", "none", "100.64.0.3"),
        machine("mvm-4", "unknown", "100.64.0.4"),
        machine("mvm-5", "nat"),
    ]
    found = policy(_PLAN, [vpc("192.168.0.0/16")], subnets, machines)
    open_ones = networks("192.168.1.0/24", "192.168.2.0/24", "100.64.0.9", "100.64.7.1")
    assert found.way_out == open_ones
    assert found.vpc_blocks == networks("192.168.0.0/16")
    assert found.resolvers == frozenset()


def test_kubelets_are_at_the_address_of_their_node() -> None:
    known, other = IPv4Address("192.168.1.9"), IPv4Address("192.168.1.10")
    machines = [
        machine("mvm-1", "nat", "100.64.0.9", str(known)),
        machine("mvm-2", "nat", "100.64.0.3"),
        machine("mvm-3", "nat", "100.64.0.4", str(other)),
        # Claims the address of one that runs.
        machine("mvm-4", "nat", "100.64.0.5", str(other)),
    ]
    assert machines[2].status is not None
    machines[2].status.attempts = 1
    for order in (machines, machines[::-1]):
        found = policy(_PLAN, [], [], order, [known])
        assert found.kubelets == {
            known: IPv4Address("100.64.0.9"),
            other: IPv4Address("100.64.0.4"),
        }
        assert found.scrapers == networks("192.168.1.9")
        assert found.sets["nodes"] == networks("192.168.1.9", "192.168.1.10")


def test_pod_cidrs_of_worker_nodes_are_shared() -> None:
    node = machine("mvm-1", "nat")
    node.spec.purpose, node.spec.podCIDR = "WorkerNode", "192.168.255.0/24"
    found = policy(_PLAN, [], [], [node, machine("mvm-2", "nat", "100.64.0.9")])
    assert found.shared == networks("192.168.255.0/24")


def test_every_block_of_every_vpc_is_inside() -> None:
    vpcs = [vpc("192.168.0.0/16", "10.1.0.0/16"), vpc("10.0.0.0/16", name="other")]
    found = policy(_PLAN, vpcs, [], [])
    assert found.vpc_blocks == networks("192.168.0.0/16", "10.0.0.0/15")
    assert found.resolvers == networks("10.0.0.2")


def test_dns_switches_are_about_every_block_of_their_vpc() -> None:
    silent, nameless = vpc("10.0.0.0/16", name="silent"), vpc("10.2.0.0/16", "10.3.0.0/16")
    silent.spec.enableDnsSupport = False
    nameless.spec.enableDnsHostnames = False
    found = policy(_PLAN, [silent, nameless, vpc("10.8.0.0/16", name="on")], [], [])
    assert found.without_dns == networks("10.0.0.0/16")
    assert found.without_names == networks("10.2.0.0/15")


def test_without_objects_the_planned_vpc_is_inside_and_closed() -> None:
    found = policy(_PLAN, [], [], [])
    assert found.vpc_blocks == {_PLAN.vpc}
    assert found.way_out == frozenset()


@pytest.mark.parametrize("bad", ["", "192.168.1.1/24", "::/0", "nonsense"])
def test_what_is_malformed_is_denied(bad: str) -> None:
    found = policy(
        _PLAN, [vpc(bad)], [subnet("s", bad, "NAT")], [machine("mvm-1", "s", management=bad)]
    )
    assert found.way_out == frozenset()
    assert found.vpc_blocks == {_PLAN.vpc}
    assert available_addresses(subnet("s", bad, "NAT"), []) is None


def test_addresses_in_use_are_counted_wherever_a_machine_says_it_is() -> None:
    small = subnet("s", "192.168.1.0/28", "NAT")
    machines = [
        machine("mvm-1", "s", pod="192.168.1.4"),
        machine("mvm-2", "other", pod="192.168.1.5"),
        machine("mvm-3", "s", pod="192.168.9.4"),
        machine("mvm-4", "s"),
    ]
    assert available_addresses(small, machines) == 16 - 5 - 2
