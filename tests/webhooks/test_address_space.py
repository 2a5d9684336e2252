"""VPCs and subnets, validated against each other when they are created, changed or deleted."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monopod.api.resources import Subnet, SubnetSpec, Vpc, VpcSpec
from monopod.kube import Client, ForbiddenError, meta
from monopod.webhooks.address_space import (
    PendingChange,
    Space,
    expected,
    subnet_faults,
    subnet_ties,
    vpc_faults,
    vpc_ties,
)
from tests.framework.eventually import eventually
from tests.webhooks.conftest import Admission

_MAIN = VpcSpec(["10.0.0.0/16", "172.16.0.0/16"])


def _subnet(block: str, vpc: str = "main") -> SubnetSpec:
    return SubnetSpec(vpc, block, "local-1a")


_SPACE = Space(
    vpcs={"main": _MAIN, "empty": VpcSpec(["10.9.0.0/16"])},
    subnets={"a": _subnet("10.0.0.0/24"), "b": _subnet("172.16.1.0/24")},
    groups={"sg-cluster": "main", "sg-web": "main"},
    machines={f"mvm-{number}": "a" for number in range(7)},
    nodes={"worker": "10.0.9.0/24"},
)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (_subnet("10.0.1.0/24"), ""),
        (_subnet("172.16.0.0/24"), ""),
        (_subnet("10.1.0.0/24"), "The CIDR '10.1.0.0/24' is invalid: it is outside the blocks"),
        (_subnet("10.0.0.0/16"), "conflicts with another subnet: a has 10.0.0.0/24"),
        (_subnet("10.0.0.128/25"), "conflicts with another subnet: a has 10.0.0.0/24"),
        (_subnet("10.0.9.0/25"), "conflicts with the pods of node worker, 10.0.9.0/24"),
        (_subnet("10.0.1.0/24", "nowhere"), "The vpc ID 'nowhere' does not exist"),
    ],
)
def test_subnets_lie_in_their_vpc_and_do_not_overlap(wanted: SubnetSpec, said: str) -> None:
    faults = "; ".join(subnet_faults("new", wanted, _SPACE))
    assert faults.startswith(said) if not said else said in faults
    assert bool(faults) == bool(said)


@pytest.mark.unit
def test_every_fault_is_named_at_once() -> None:
    assert len(subnet_faults("new", _subnet("10.0.0.0/15", "nowhere"), _SPACE)) == 3


@pytest.mark.unit
@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (["10.0.0.0/16", "172.16.0.0/16", "192.168.0.0/16"], ""),
        (["10.0.0.0/16"], "Subnet b has 172.16.1.0/24, which would be outside the VPC's blocks"),
        (["10.0.0.0/16", "172.16.0.0/16", "10.9.1.0/24"], "conflicts with another VPC: empty"),
    ],
)
def test_a_vpc_keeps_what_is_in_it(blocks: list[str], said: str) -> None:
    faults = "; ".join(vpc_faults("main", VpcSpec(blocks), _SPACE))
    assert said in faults
    assert bool(faults) == bool(said)


@pytest.mark.unit
def test_what_is_in_use_stays() -> None:
    (said,) = subnet_ties("a", _SPACE)
    assert said.startswith("The subnet 'a' has dependencies and cannot be deleted: mvm-0, mvm-1")
    assert said.endswith("and 2 more")
    assert subnet_ties("b", _SPACE) == ()
    assert vpc_ties("main", _SPACE) == (
        "The vpc 'main' has dependencies and cannot be deleted: Subnet a, Subnet b,"
        " SecurityGroup sg-web",
    )
    assert vpc_ties("empty", _SPACE) == ()


@pytest.mark.unit
def test_a_block_that_a_nodes_pods_are_in_stays_in_the_vpc() -> None:
    around = replace(_SPACE, subnets={}, nodes={"worker": "172.16.9.0/24", "other": "10.9.0.0/24"})
    (said,) = vpc_faults("main", VpcSpec(["10.0.0.0/16"]), around)
    assert said == "Node worker has pod CIDR 172.16.9.0/24, which would be outside the VPC's blocks"


@pytest.mark.unit
def test_what_was_allowed_counts_before_it_is_seen() -> None:
    made = PendingChange("new", subnet=_subnet("10.0.5.0/24"))
    space = expected(_SPACE, [made])
    assert subnet_faults("other", _subnet("10.0.5.128/25"), space)
    assert "Subnet new" in vpc_ties("main", space)[0]
    gone = expected(
        _SPACE, [made, PendingChange("new", gone="Subnet"), PendingChange("a", gone="Subnet")]
    )
    assert gone == _SPACE
    gone = expected(_SPACE, [PendingChange("empty", gone="Vpc")])
    assert subnet_faults("other", _subnet("10.9.1.0/24", "empty"), gone)
    back = expected(gone, [PendingChange("empty", vpc=VpcSpec(["10.9.0.0/16"]))])
    assert not subnet_faults("other", _subnet("10.9.1.0/24", "empty"), back)


def _block(third: int, bits: int) -> str:
    return str(IPv4Network((f"10.0.{third}.0", bits), strict=False))


_BLOCKS = st.builds(
    _block,
    st.integers(0, 255),
    st.integers(20, 28),
)


@pytest.mark.unit
@given(st.lists(_BLOCKS, max_size=12))
def test_no_sequence_of_requests_makes_two_subnets_overlap(blocks: list[str]) -> None:
    space = Space(vpcs={"main": _MAIN})
    for number, block in enumerate(blocks):
        wanted, name = _subnet(block), f"s{number}"
        if not subnet_faults(name, wanted, space):
            space = Space(vpcs=space.vpcs, subnets={**space.subnets, name: wanted})
    made = [IPv4Network(each.cidrBlock) for each in space.subnets.values()]
    assert not any(one.overlaps(two) for one in made for two in made if one is not two)
    assert bool(made) == bool(blocks)


def _vpc(name: str, *blocks: str) -> Vpc:
    made: dict[str, Any] = {"metadata": {"name": name}, "spec": {"cidrBlocks": list(blocks)}}
    return msgspec.convert(made, Vpc)


def _made(name: str, block: str, vpc: str) -> Subnet:
    spec = {"vpc": vpc, "cidrBlock": block, "availabilityZone": "local-1a"}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, Subnet)


@pytest.mark.api
@pytest.mark.row("S18")
async def test_the_api_server_refuses_them(registered: Admission, admin: Client) -> None:
    await eventually(lambda: _refused(admin))
    await admin.create(_vpc("space", "10.77.0.0/16"))
    await admin.create(_made("space-a", "10.77.1.0/24", "space"))
    with pytest.raises(ForbiddenError, match="conflicts with another subnet: space-a has"):
        await admin.create(_made("space-b", "10.77.0.0/23", "space"))
    with pytest.raises(ForbiddenError, match="conflicts with another VPC: space has"):
        await admin.create(_vpc("other", "10.77.3.0/24"))
    with pytest.raises(ForbiddenError, match="The vpc 'space' has dependencies"):
        await admin.delete(Vpc, "space")
    await admin.patch(Subnet, "space-a", {"spec": {"internet": "None"}})
    await admin.delete(Subnet, "space-a")
    await admin.delete(Vpc, "space")


@pytest.mark.api
@pytest.mark.row("S18")
async def test_of_those_asked_for_at_once_one_is_made(registered: Admission, admin: Client) -> None:
    await eventually(lambda: _refused(admin))
    await admin.create(_vpc("race", "10.78.0.0/16"))
    for third in range(8):
        names = [f"race-{third}-{number}" for number in range(6)]
        blocks = [f"10.78.{third}.{number * 16}/{24 if number == 0 else 28}" for number in range(6)]
        asked = (_made(*pair, "race") for pair in zip(names, blocks, strict=True))
        said = await asyncio.gather(*map(admin.create, asked), return_exceptions=True)
        made = [each for each in said if isinstance(each, Subnet)]
        networks = [IPv4Network(each.spec.cidrBlock) for each in made]
        assert networks
        assert not any(one.overlaps(two) for one in networks for two in networks if one is not two)
        assert all(isinstance(each, Subnet | ForbiddenError) for each in said)
        for each in made:
            await admin.delete(Subnet, meta(each).name or "")
    await admin.delete(Vpc, "race")


async def _refused(client: Client) -> bool:
    """The API server takes a moment to heed what was registered."""
    try:
        await client.create(_made("space-nowhere", "10.77.1.0/24", "nowhere"))
    except ForbiddenError as error:
        return "The vpc ID 'nowhere' does not exist" in str(error)
    await client.delete(Subnet, "space-nowhere")
    return False
