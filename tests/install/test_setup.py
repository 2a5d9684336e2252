"""What the job ``setup`` decides."""

import datetime as dt
from ipaddress import IPv4Network

import pytest
from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.resources import MicroVM, MicroVMSpec, PodReference, Subnet, SubnetSpec
from monopod.identity.authority import Authority, validity
from monopod.install.setup import certificates, subnets
from monopod.install.setup.certificates import LIFETIME, SUBJECT, due
from monopod.install.setup.check import refusal
from monopod.kube import name_of

pytestmark = pytest.mark.unit

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BLOCK = IPv4Network("198.18.0.0/16")


def subnet(name: str, zone: str, block: str) -> Subnet:
    spec = SubnetSpec(vpc="default", cidrBlock=block, availabilityZone=zone)
    return Subnet(metadata=ObjectMeta(name=name), spec=spec)


def test_a_first_certificate_is_signed_by_a_new_authority() -> None:
    made = due(None, b"", None, NOW)
    assert Authority(made.authority).still_good(made.serving, SUBJECT, NOW)
    assert made.bundle == made.authority.certificate
    assert "monopod-webhooks.monopod-system.svc" in SUBJECT.names


def test_nothing_is_renewed_before_it_is_due() -> None:
    made = due(None, b"", None, NOW)
    again = due(made.authority, made.bundle, made.serving, NOW + LIFETIME / 2)
    assert again == made


def test_a_serving_certificate_is_renewed_after_two_thirds() -> None:
    made = due(None, b"", None, NOW)
    later = NOW + LIFETIME * 0.7
    again = due(made.authority, made.bundle, made.serving, later)
    assert again.authority == made.authority
    assert again.serving != made.serving
    assert validity(again.serving.certificate).expires > later + LIFETIME / 2


def test_a_new_authority_is_trusted_together_with_the_previous_one() -> None:
    made = due(None, b"", None, NOW)
    later = validity(made.authority.certificate).due
    again = due(made.authority, made.bundle, made.serving, later)
    assert again.authority != made.authority
    assert again.bundle == again.authority.certificate + made.authority.certificate
    assert Authority(again.authority).still_good(again.serving, SUBJECT, later)
    # And the one before that no longer.
    third = due(again.authority, again.bundle, again.serving, later + (later - NOW))
    assert made.authority.certificate not in third.bundle


def test_a_broken_secret_is_replaced() -> None:
    broken = certificates.Pair(b"no certificate", b"no key")
    made = due(broken, b"no certificate", broken, NOW)
    assert Authority(made.authority).still_good(made.serving, SUBJECT, NOW)
    assert made.bundle == made.authority.certificate


def test_a_lost_authority_stays_trusted_while_its_certificate_is_served() -> None:
    made = due(None, b"", None, NOW)
    again = due(None, made.bundle, made.serving, NOW)
    assert again.bundle == again.authority.certificate + made.authority.certificate


def test_each_zone_gets_a_subnet() -> None:
    made = subnets.missing(["zone-b", "zone-a", "zone-a", ""], [], BLOCK)
    assert [(name_of(each), each.spec.cidrBlock) for each in made] == [
        ("default-zone-a", "198.18.0.0/20"),
        ("default-zone-b", "198.18.16.0/20"),
    ]
    assert subnets.missing(["zone-a", "zone-b"], made, BLOCK) == []
    (third,) = subnets.missing(["zone-a", "zone-b", "zone-c"], made, BLOCK)
    assert third.spec.cidrBlock == "198.18.32.0/20"


def test_a_zone_with_another_subnet_gets_none() -> None:
    own = subnet("mine", "zone-a", "10.0.0.0/24")
    assert [each.spec.availabilityZone for each in subnets.missing(["zone-a"], [own], BLOCK)] == []


def test_more_zones_than_blocks_leave_some_without() -> None:
    zones = [f"zone-{number:02}" for number in range(20)]
    assert len(subnets.missing(zones, [], BLOCK)) == 16


def test_a_release_with_machines_stays() -> None:
    spec = MicroVMSpec(PodReference("shop", "web-0", "1"), "shop", "a", 250, 512)
    message = refusal([MicroVM(metadata=ObjectMeta(name="mvm-1"), spec=spec)])
    assert message == "pods run on Fargate: shop/web-0; delete their profiles first"
    # An empty text would be an exit status of 1, too.
    assert refusal([]) is None
