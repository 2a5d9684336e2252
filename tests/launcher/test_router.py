"""The router of a launcher pod: pure commands."""

import json
from ipaddress import IPv4Address
from typing import Any

import pytest

from monopod.node.launcher import interfaces, plan, router
from monopod.node.launcher.network import find_uplink
from monopod.node.launcher.plan import LauncherError, LauncherPlan, MachinePlan
from monopod.node.launcher.router import Uplink
from monopod.node.net.addresses import GATEWAY_MAC

pytestmark = pytest.mark.unit

POD = IPv4Address("10.244.1.7")
MANAGEMENT = IPv4Address("100.64.3.4")
PLAN = LauncherPlan(MachinePlan("mvm-0123456789", "gvisor", 250, 512, 20, MANAGEMENT), POD)
UPLINK = Uplink("eth0", POD)


def test_a_plan_survives_its_environment_variable() -> None:
    environment = {"MONOPOD_MACHINE": PLAN.machine.encode(), "MONOPOD_POD_ADDRESS": str(POD)}
    assert plan.read(environment) == PLAN


@pytest.mark.parametrize(
    "changed",
    [
        {"MONOPOD_MACHINE": "{}"},
        {"MONOPOD_MACHINE": "no JSON"},
        {"MONOPOD_MACHINE": "[]"},
        {"MONOPOD_POD_ADDRESS": ""},
        {"MONOPOD_POD_ADDRESS": "fe80::1"},
    ],
)
def test_a_malformed_plan_is_one_error(changed: dict[str, str]) -> None:
    environment = {"MONOPOD_MACHINE": PLAN.machine.encode(), "MONOPOD_POD_ADDRESS": str(POD)}
    with pytest.raises(LauncherError):
        plan.read(environment | changed)


def test_the_interface_with_the_pods_address_is_the_uplink() -> None:
    listed: list[dict[str, Any]] = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "tunl0"},
        {"ifname": "net1", "addr_info": [{"local": "10.9.9.9"}, {"local": str(POD)}]},
    ]
    assert find_uplink(listed, PLAN) == Uplink("net1", POD)
    with pytest.raises(LauncherError, match=r"no interface has the pod's address 10\.244\.1\.7"):
        find_uplink(listed[:2], PLAN)


def test_the_address_is_looked_up_before_the_table_local() -> None:
    lines = router.links(PLAN, UPLINK).splitlines()
    added = lines.index("rule add pref 100 lookup local")
    # The table must never be missing: the namespace would lose its addresses for a moment.
    assert lines.index("rule del pref 0") > added
    first = [line for line in lines if line.startswith("rule add")][:2]
    assert all(str(POD) in line for line in first)


def test_a_tap_device_is_given_the_gateways_address_before_it_is_up() -> None:
    plan = LauncherPlan(MachinePlan("mvm-0123456789", "qemu-kvm", 250, 512, 20, MANAGEMENT), POD)
    lines = router.links(plan, UPLINK).splitlines()
    assert not [line for line in lines if "veth" in line or "vmm-" in line]
    named = lines.index(f"link set pod address {GATEWAY_MAC} mtu 9001")
    assert lines.index("link set pod up") > named
    # All else is as it is for packet sockets.
    others = [line for line in router.links(PLAN, UPLINK).splitlines() if "vmm-" not in line]
    assert others == [line for line in lines if GATEWAY_MAC not in line]


def _rules() -> list[dict[str, Any]]:
    commands = json.loads(json.dumps(router.rules(PLAN, UPLINK)))
    return [each["add"]["rule"] for each in commands if "rule" in each.get("add", {})]


def _chain(name: str, family: str = "inet") -> list[str]:
    return [
        json.dumps(rule["expr"])
        for rule in _rules()
        if rule["chain"] == name and rule["family"] == family
    ]


def test_guests_send_with_their_own_addresses_only() -> None:
    forged = [rule for rule in _chain("antispoof") if '"!="' in rule]
    assert len(forged) == 2
    assert any('"pod"' in rule and str(POD) in rule for rule in forged)
    assert any('"management"' in rule and str(MANAGEMENT) in rule for rule in forged)


@pytest.mark.row("S19")
def test_metadata_is_out_of_reach() -> None:
    assert any("169.254.0.0" in rule and "drop" in rule for rule in _chain("antispoof"))


def test_only_the_kubelets_port_is_translated() -> None:
    (rule,) = _chain("kubelet")
    assert "10250" in rule
    assert str(MANAGEMENT) in rule


def test_syns_of_both_directions_announce_segments_that_fit() -> None:
    (rule,) = _chain("segments")
    assert '"maxseg"' in rule
    assert "ifname" not in rule


def test_nothing_reaches_the_launcher_itself() -> None:
    commands = json.loads(json.dumps(router.rules(PLAN, UPLINK)))
    chains = [each["add"]["chain"] for each in commands if "chain" in each.get("add", {})]
    policies = {each["name"]: each["policy"] for each in chains if each["family"] == "inet"}
    assert policies["input"] == policies["forward"] == "drop"
    assert not any("eth0" in rule for rule in _chain("input"))


def test_a_netlink_message_nests_what_the_kernel_expects() -> None:
    made = interfaces.message(7, {interfaces.FORWARDING: 1})
    assert len(made) == int.from_bytes(made[:4], "little")
    # ifinfomsg, IFLA_AF_SPEC, AF_INET, IFLA_INET_CONF, then number and value.
    assert made[-4:] == (1).to_bytes(4, "little")
    assert made[20:24] == (7).to_bytes(4, "little")
