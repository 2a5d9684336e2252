from ipaddress import IPv4Address
from pathlib import Path

import pytest

from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout, User
from monopod.node.net.addresses import MANAGEMENT, vmm_uid
from monopod.settings import Settings

pytestmark = pytest.mark.unit

LAYOUT = Layout.of(Settings(home=Path("/var/lib/monopod")), 7)


def test_addresses_derive_from_the_transit_number() -> None:
    assert LAYOUT.api_server == "https://100.127.7.6:6443"
    assert LAYOUT.registry == "100.127.7.6:5000"


def test_every_user_has_a_unique_uid_outside_the_machines_range() -> None:
    uids = [LAYOUT.uid(user) for user in User]
    assert len(set(uids)) == len(uids)
    highest = vmm_uid("fff000", MANAGEMENT.network_address + (1 << 16) - 1)
    assert min(uids) > highest
    assert max(uids) < 1 << 31


def test_two_clusters_share_no_uid() -> None:
    homes = (Path(f"/tmp/{number}") for number in range(2))
    one, other = (Layout.of(Settings(home=home), 0) for home in homes)
    assert not {one.uid(user) for user in User} & {other.uid(user) for user in User}


def test_only_the_administrators_certificate_names_a_group() -> None:
    groups = {
        identity.directory: leaf.subject.organisation
        for identity in identities(LAYOUT)
        for leaf in identity.leaves
        if leaf.subject.organisation
    }
    assert groups == {"admin": "system:masters"}


def test_which_identities_hold_more_than_a_client_certificate() -> None:
    every = {identity.directory: identity for identity in identities(LAYOUT)}
    assert {name for name, each in every.items() if each.signs_nodes} == {"kube-controller-manager"}
    assert {name for name, each in every.items() if each.signs_tokens} == {"kube-apiserver"}
    etcd = {
        name for name, each in every.items() for leaf in each.leaves if leaf.authority == "etcd"
    }
    assert etcd == {"etcd", "kube-apiserver"}


def test_the_api_servers_certificate_has_all_its_names() -> None:
    (api,) = (each for each in identities(LAYOUT) if each.directory == "kube-apiserver")
    (serving,) = (leaf.subject for leaf in api.leaves if leaf.file == "serving")
    assert set(serving.addresses) == {
        IPv4Address("100.127.7.6"),
        IPv4Address("10.100.0.1"),
        IPv4Address("127.0.0.1"),
    }
    assert {"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} < set(serving.names)
