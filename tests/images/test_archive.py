"""Bad archives are rejected before anything is sent, with the reason."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monopod.build.images import ArchiveError
from monopod.build.images.archive import open_archive
from tests.images.conftest import digest, tar_of

pytestmark = pytest.mark.unit

Edit = Callable[[Callable[[dict[str, bytes]], None]], Path]


def _refusal(archive: Path) -> str:
    with pytest.raises(ArchiveError) as caught, open_archive(archive) as opened:
        opened.image()
    assert str(archive) in str(caught.value)
    return str(caught.value)


def _change_index(edit: Edit, how: Callable[[dict[str, Any]], None]) -> Path:
    def change(files: dict[str, bytes]) -> None:
        index = json.loads(files["index.json"])
        how(index)
        files["index.json"] = json.dumps(index).encode()

    return edit(change)


def test_no_tar_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(b"not a tar archive at all" * 100)
    assert "is not a complete tar archive" in _refusal(path)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in _refusal(tmp_path / "x.tar")


def test_another_kind_of_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_of({"README": b""}))
    assert "neither an OCI archive" in _refusal(path)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_compressed_archive(oci_archive: Path, share: float) -> None:
    whole = gzip.compress(oci_archive.read_bytes())
    oci_archive.write_bytes(whole[: int(len(whole) * share)])
    assert "is not a complete tar archive" in _refusal(oci_archive)


def test_a_truncated_tar(oci_archive: Path) -> None:
    whole = oci_archive.read_bytes()
    oci_archive.write_bytes(whole[: len(whole) // 3])
    assert _refusal(oci_archive)


def test_changed_content(edit: Edit) -> None:
    def change(files: dict[str, bytes]) -> None:
        largest = max(files, key=lambda name: len(files[name]))
        files[largest] = b"x" + files[largest][1:]

    assert "is damaged: sha256:" in _refusal(edit(change))


def test_a_missing_blob(edit: Edit) -> None:
    def change(files: dict[str, bytes]) -> None:
        del files[max(files, key=lambda name: len(files[name]))]

    assert "is incomplete: blobs/sha256/" in _refusal(edit(change))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"manifests": 3}', b"\xff"])
def test_a_malformed_index(edit: Edit, text: bytes) -> None:
    assert "cannot decode index.json" in _refusal(
        edit(lambda files: files.update({"index.json": text}))
    )


def test_another_platform(edit: Edit) -> None:
    def change(index: dict[str, Any]) -> None:
        index["manifests"][0]["platform"] = {"architecture": "s390x", "os": "linux"}

    assert "contains no image for linux/" in _refusal(_change_index(edit, change))


def test_several_images(edit: Edit) -> None:
    def change(index: dict[str, Any]) -> None:
        index["manifests"] *= 2

    assert "contains 2 images" in _refusal(_change_index(edit, change))


def test_a_multi_platform_image_gives_the_host_s(edit: Edit) -> None:
    def change(files: dict[str, bytes]) -> None:
        index = json.loads(files["index.json"])
        entry = index["manifests"][0]
        annotations = entry.pop("annotations")
        other = {**entry, "platform": {"architecture": "s390x", "os": "linux"}}
        attestation = {**entry, "platform": {"architecture": "unknown", "os": "unknown"}}
        inner = json.dumps({"schemaVersion": 2, "manifests": [other, entry, attestation]}).encode()
        files["blobs/sha256/" + digest(inner).removeprefix("sha256:")] = inner
        index["manifests"] = [
            {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": digest(inner),
                "size": len(inner),
                "annotations": annotations,
            }
        ]
        files["index.json"] = json.dumps(index).encode()

    with open_archive(edit(change)) as archive:
        image = archive.image()
    assert str(image.name) == "tests/hello:1"
    assert len(image.blobs) == 2


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({"org.opencontainers.image.ref.name": "2.1"}, "hello:2.1"),
        ({"org.opencontainers.image.ref.name": "quay.io/a/b:3"}, "a/b:3"),
        ({}, "hello:latest"),
    ],
)
def test_names_written_by_other_tools(edit: Edit, annotations: dict[str, str], name: str) -> None:
    def change(index: dict[str, Any]) -> None:
        index["manifests"][0]["annotations"] = annotations

    with open_archive(_change_index(edit, change)) as archive:
        assert str(archive.image().name) == name
