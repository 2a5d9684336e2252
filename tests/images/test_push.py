"""Archives pushed to a real registry are pulled unchanged."""

import gzip
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monopod.build.images import ImageConfig, RegistryError, push, write_archive
from monopod.util.progress import Progress
from tests.images.conftest import digest, members, tar_of

pytestmark = pytest.mark.kernel


async def _pull(registry: str, reference: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Pull an image as a node does: manifest, then blobs, with their digests verified."""
    repository, _, tag = reference.partition("/")[2].rpartition(":")
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    blobs: dict[str, bytes] = {}
    async with aiohttp.ClientSession(f"{registry}/v2/{repository}/", headers=accept) as session:
        async with session.get(f"manifests/{tag}", raise_for_status=True) as answer:
            manifest = json.loads(await answer.read())
        for blob in (manifest["config"], *manifest["layers"]):
            async with session.get(f"blobs/{blob['digest']}", raise_for_status=True) as answer:
                content = await answer.read()
            assert digest(content) == blob["digest"]
            assert len(content) == blob["size"]
            blobs[blob["digest"]] = content
    return manifest, blobs


def _docker_archive(path: Path, *, compressed_layer: bool = False) -> list[bytes]:
    """Write the older ``docker save`` format, with the second layer linked to the first."""
    layer = tar_of({"bin/a": b"a"})
    if compressed_layer:
        layer = gzip.compress(layer)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/a"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:1"]},
        }
    ).encode()
    listed = {
        "Config": "c.json",
        "RepoTags": ["registry.example:5000/team/app:2.0"],
        "Layers": ["one/layer.tar", "two/layer.tar"],
    }
    files = {
        "c.json": config,
        "one/layer.tar": layer,
        "manifest.json": json.dumps([listed]).encode(),
    }
    path.write_bytes(tar_of(files, links={"two/layer.tar": "../one/layer.tar"}))
    return [layer, layer, config]


async def test_an_oci_archive_comes_back_as_it_was(registry: str, oci_archive: Path) -> None:
    reference = await push(oci_archive, registry)
    assert reference == registry.removeprefix("http://") + "/tests/hello:1"
    _, blobs = await _pull(registry, reference)
    assert set(blobs.values()) <= set(members(oci_archive).values())


async def test_pushing_again_sends_no_blob(registry: str, oci_archive: Path) -> None:
    await push(oci_archive, registry)
    said: list[Progress] = []
    await push(oci_archive, registry, report=said.append)
    assert not [one for one in said if "sending" in one.detail]
    assert said[-1].percent == 100
    assert said[-1].detail.endswith("in the registry")


@pytest.mark.parametrize("compressed_layer", [False, True])
@pytest.mark.parametrize("compressed_archive", [False, True])
async def test_a_docker_archive(
    registry: str, tmp_path: Path, compressed_layer: bool, compressed_archive: bool
) -> None:
    path = tmp_path / "app.tar"
    layer, _, config = _docker_archive(path, compressed_layer=compressed_layer)
    if compressed_archive:
        path.write_bytes(gzip.compress(path.read_bytes()))
    reference = await push(path, registry)
    assert reference.endswith("/team/app:2.0")
    manifest, blobs = await _pull(registry, reference)
    assert set(blobs.values()) == {layer, config}
    kind = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compressed_layer else "")
    assert [one["mediaType"] for one in manifest["layers"]] == [kind, kind]


async def test_a_name_given_by_the_caller(registry: str, oci_archive: Path) -> None:
    reference = await push(oci_archive, registry, name="mine:3")
    assert reference.endswith("/mine:3")
    await _pull(registry, reference)


async def test_by_a_unix_socket(registry_socket: Path, oci_archive: Path) -> None:
    for _ in range(2):
        reference = await push(oci_archive, "http://10.9.8.7:5000", socket=registry_socket)
        assert reference == "10.9.8.7:5000/tests/hello:1"


async def test_a_large_blob_is_sent_in_chunks(registry: str, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "large").write_bytes(bytes(range(256)) * (1 << 14))
    archive = tmp_path / "large.tar"
    write_archive(tmp_path / "root", archive, name="tests/large:1", config=ImageConfig())
    said: list[Progress] = []
    await _pull(registry, await push(archive, registry, report=said.append))
    shares = [one.percent for one in said if one.total]
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert len(set(shares)) > 3


async def test_an_unreachable_registry_is_one_clear_error(oci_archive: Path) -> None:
    with pytest.raises(RegistryError, match=r"cannot reach the registry http://127\.0\.0\.1:9"):
        await push(oci_archive, "http://127.0.0.1:9")


async def test_a_rejection_names_the_request(registry: str, oci_archive: Path) -> None:
    with pytest.raises(RegistryError, match=r"rejects the request: .* returned 404"):
        await push(oci_archive, f"{registry}/elsewhere")
