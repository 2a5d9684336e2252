"""Parts of a plain cluster that need no cluster."""

import itertools
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from monopod.build.images import ImageConfig, write_archive
from monopod.node.net.addresses import MANAGEMENT, TRANSITS
from tests.framework.plain_cluster import claim
from tests.framework.plain_cluster.addresses import CLUSTERS, MOST_HOSTS, RANGE, Addresses
from tests.framework.plain_cluster.archive import renamed

pytestmark = pytest.mark.unit


def test_clusters_and_hosts_have_addresses_of_their_own() -> None:
    clusters = [Addresses(number) for number in range(CLUSTERS)]
    for one, other in itertools.combinations(clusters, 2):
        assert not one.network.overlaps(other.network)
    for each in clusters:
        assert each.network.subnet_of(RANGE)
        fixed = {each.machine, each.control, each.gateway, each.dns}
        hosts = {each.host(index) for index in range(1, MOST_HOSTS + 1)}
        assert len(fixed) == 4
        assert len(hosts) == MOST_HOSTS
        assert not fixed & hosts
        assert all(address in each.nodes for address in fixed | hosts)
        assert all(each.pods_of(index).subnet_of(each.pods) for index in range(1, MOST_HOSTS + 1))
        assert not each.nodes.overlaps(each.pods)
    for others in (MANAGEMENT, TRANSITS):
        assert not RANGE.overlaps(others)


def test_a_number_is_claimed_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_LOCKS", tmp_path)
    with claim.claimed() as first, claim.claimed() as second:
        assert (first.number, second.number) == (0, 1)
        with pytest.raises(RuntimeError, match="running"), claim.claimed(1):
            pass
    with claim.claimed() as again:
        assert again.number == 0


def names(archive: Path) -> tuple[str, set[str]]:
    with tarfile.open(archive) as opened:
        index = opened.extractfile("index.json")
        assert index is not None
        found: dict[str, Any] = json.load(index)
        annotations = found["manifests"][0]["annotations"]
        return annotations["io.containerd.image.name"], set(opened.getnames())


def test_an_archive_is_renamed_and_otherwise_the_same(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file").write_text("content")
    archive = tmp_path / "image.tar"
    write_archive(tmp_path / "root", archive, name="some/image:1", config=ImageConfig())
    target = renamed(archive, "example.test/other:2", tmp_path / "renamed.tar")
    name, members = names(target)
    assert name == "example.test/other:2"
    assert members == names_of(archive)
    with tarfile.open(tmp_path / "none.tar", "w"):
        pass
    with pytest.raises(ValueError, match="no OCI archive"):
        renamed(tmp_path / "none.tar", "a:1", tmp_path / "not.tar")


def names_of(archive: Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return set(opened.getnames())
