"""The parts of a policy that are not enforced are reported to its author."""

from typing import Any

import pytest

from monopod.controllers.vpc.not_enforced import not_enforced
from tests.net.test_network_policies import policy

pytestmark = pytest.mark.unit


def _peers(*blocks: str) -> list[dict[str, Any]]:
    return [{"ipBlock": {"cidr": each}} for each in blocks]


def test_ipv6_blocks_are_named_each_once_with_their_direction() -> None:
    said = not_enforced(
        policy(
            "shop",
            ingress=[{"from": _peers("10.0.0.0/8", "2001:db8::/32")}, {"from": _peers("::/0")}],
            egress=[{"to": _peers("::/0", "::/0", "0.0.0.0/0")}, {"to": [{"podSelector": {}}]}],
        )
    )
    assert said is not None
    assert said.endswith("Not enforced: from 2001:db8::/32, from ::/0, to ::/0")
    assert "IPv4 addresses only" in said


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"policyTypes": ["Ingress", "Egress"]},
        {"ingress": [{"from": _peers("10.0.0.1/8")}, {}], "egress": [{}]},
        {"egress": [{"to": [{"namespaceSelector": {}}]}]},
    ],
)
def test_fully_enforced_policies_have_no_shortfall(spec: dict[str, Any]) -> None:
    assert not_enforced(policy("shop", **spec)) is None
