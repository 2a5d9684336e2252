"""Images in a real registry: reading its directory, and removal."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from monopod.build.images import ImageConfig, push, write_archive
from monopod.build.images.errors import RegistryError
from monopod.build.images.remove import remover
from monopod.build.images.stored import StoredImage, make, read, unneeded
from tests.images.conftest import collect_garbage, digest, members, registry_by_socket

pytestmark = pytest.mark.kernel

_URL = "http://10.9.8.7:5000"
_NOW = datetime(2026, 11, 29, tzinfo=UTC)
_INDEX = "application/vnd.oci.image.index.v1+json"


def _archive(directory: Path, content: str, name: str) -> Path:
    root = directory / "root"
    root.mkdir(exist_ok=True)
    (root / "file").write_text(content)
    archive = directory / "image.tar"
    write_archive(root, archive, name=name, config=ImageConfig())
    return archive


async def _push(socket: Path, content: str, name: str) -> Path:
    archive = _archive(socket.parent, content, name)
    await push(archive, _URL, socket=socket)
    return archive


def _read(socket: Path) -> dict[str, StoredImage]:
    """Return images by their tags, untagged ones by their digest."""
    return {
        f"{image.repository}:{tag}" if tag else image.digest: image
        for image in read(socket.parent / "data")
        for tag in image.tags or ("",)
    }


async def _status(socket: Path, path: str) -> int:
    connector = aiohttp.UnixConnector(str(socket))
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=accept) as session,
        session.get(f"{_URL}/v2/{path}") as answer,
    ):
        return answer.status


def _blobs(socket: Path) -> set[str]:
    root = socket.parent / "data" / "docker" / "registry" / "v2" / "blobs"
    return {f"sha256:{path.parent.name}" for path in root.rglob("data")}


async def test_a_new_registry_is_empty(registry_socket: Path) -> None:
    assert read(registry_socket.parent / "data") == ()


def test_garbage_of_an_empty_registry_can_be_collected(tmp_path: Path) -> None:
    with registry_by_socket(tmp_path):
        pass
    (tmp_path / "data").mkdir(exist_ok=True)
    for _ in range(2):
        make(tmp_path / "data", os.geteuid())
        collect_garbage(tmp_path)
    assert read(tmp_path / "data") == ()


async def test_images_are_read_with_size_and_tags(registry_socket: Path) -> None:
    archive = await _push(registry_socket, "one", "team/app:1")
    await push(archive, _URL, socket=registry_socket, name="team/app:2")
    await push(archive, _URL, socket=registry_socket, name="app:1")
    stored = read(registry_socket.parent / "data")
    assert [(each.repository, each.tags) for each in stored] == [
        ("app", ("1",)),
        ("team/app", ("1", "2")),
    ]
    files = members(archive)
    index = json.loads(files["index.json"])
    manifest = json.loads(files["blobs/" + index["manifests"][0]["digest"].replace(":", "/")])
    size = sum(each["size"] for each in (manifest["config"], *manifest["layers"]))
    assert {each.size for each in stored} == {size}
    assert {each.digest for each in stored} == {index["manifests"][0]["digest"]}
    assert {each.created for each in stored} == {None}


async def test_an_image_whose_tag_moved_is_unneeded(registry_socket: Path) -> None:
    await _push(registry_socket, "one", "app:1")
    first = _read(registry_socket)["app:1"]
    await _push(registry_socket, "two", "app:1")
    old = next(each for each in read(registry_socket.parent / "data") if not each.tags)
    assert old.digest == first.digest
    stored = read(registry_socket.parent / "data")
    assert unneeded(stored, set()) == (old,)
    assert unneeded(stored, {old.digest}) == (), "a pod runs it"


async def test_a_part_of_a_multi_platform_image_is_needed(registry_socket: Path) -> None:
    await _push(registry_socket, "one", "app:part")
    part = _read(registry_socket)["app:part"]
    index = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _INDEX,
            "manifests": [
                {
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "digest": part.digest,
                    "size": 1,
                    "platform": {"architecture": "amd64", "os": "linux"},
                }
            ],
        }
    ).encode()
    connector = aiohttp.UnixConnector(str(registry_socket))
    async with aiohttp.ClientSession(connector=connector) as session:
        headers = {"Content-Type": _INDEX}
        url = f"{_URL}/v2/app/manifests/all"
        async with session.put(url, data=index, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
    async with remover(_URL, registry_socket) as remote:
        await remote.untag(part, "part")
    stored = _read(registry_socket)
    assert set(stored) == {"app:all", part.digest}
    assert stored["app:all"].size == part.size
    assert unneeded(read(registry_socket.parent / "data"), set()) == ()


async def test_removing_an_image_frees_its_unshared_layers(tmp_path: Path) -> None:
    with registry_by_socket(tmp_path) as socket:
        await _push(socket, "kept", "app:kept")
        kept = _blobs(socket)
        await _push(socket, "gone", "app:gone")
        await push(tmp_path / "image.tar", _URL, socket=socket, name="app:too")
        async with remover(_URL, socket) as remote:
            await remote.remove(_read(socket)["app:gone"])
            assert set(_read(socket)) == {"app:kept"}
            assert await _status(socket, "app/manifests/too") == 404
    collect_garbage(tmp_path)
    with registry_by_socket(tmp_path) as socket:
        assert _blobs(socket) == kept
        assert await _status(socket, "app/manifests/kept") == 200
        # Collected blobs can be pushed again.
        await _push(socket, "gone", "app:gone")
        assert set(_read(socket)) == {"app:kept", "app:gone"}


async def test_removing_one_tag_of_several(tmp_path: Path) -> None:
    with registry_by_socket(tmp_path) as socket:
        archive = await _push(socket, "one", "app:1")
        blobs = _blobs(socket)
        await push(archive, _URL, socket=socket, name="app:2")
        image = _read(socket)["app:1"]
        async with remover(_URL, socket) as remote:
            for _ in range(2):
                await remote.untag(image, "1")
        assert set(_read(socket)) == {"app:2"}
    collect_garbage(tmp_path)
    with registry_by_socket(tmp_path) as socket:
        assert _blobs(socket) == blobs
        assert await _status(socket, "app/manifests/2") == 200
        assert await _status(socket, "app/manifests/1") == 404


async def test_removing_is_idempotent(registry_socket: Path) -> None:
    await _push(registry_socket, "one", "app:1")
    image = _read(registry_socket)["app:1"]
    async with remover(_URL, registry_socket) as remote:
        for _ in range(2):
            await remote.remove(image)
    assert _read(registry_socket) == {}


async def test_an_unreachable_registry_is_one_clear_error(tmp_path: Path) -> None:
    image = StoredImage("app", digest(b""), (), 0, _NOW, None, frozenset())
    async with remover(_URL, tmp_path / "none") as remote:
        with pytest.raises(
            RegistryError, match=r"cannot reach the registry http://10\.9\.8\.7:5000"
        ):
            await remote.remove(image)


async def test_a_damaged_registry_is_one_clear_error(registry_socket: Path) -> None:
    await _push(registry_socket, "one", "app:1")
    root = registry_socket.parent / "data" / "docker" / "registry" / "v2"
    for path in root.glob("blobs/sha256/*/*/data"):
        path.write_text("[]")
    with pytest.raises(RegistryError, match="cannot read the registry"):
        read(registry_socket.parent / "data")
