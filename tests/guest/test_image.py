"""What the image is made of, as far as that is known without building one."""

import io
import json
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from monopod.node.guest.archive import debian_sources, mirrors
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.image import provide
from monopod.node.guest.pause import REFERENCE, oci_archive
from monopod.node.guest.specification import base_specification

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("sources", "found"),
    [
        ("deb http://mirror.test/debian bookworm main\n", "http://mirror.test/debian"),
        (
            "# deb http://old.test/debian sid main\n"
            "deb [signed-by=/k.gpg arch=amd64] https://mirror.test/debian/ trixie main contrib\n",
            "https://mirror.test/debian/",
        ),
        (
            "Types: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\n"
            "Components: main\n",
            "http://mirror.test/debian",
        ),
    ],
)
def test_the_hosts_own_mirror_is_used(sources: str, found: str) -> None:
    assert list(mirrors([sources])) == [found]


@pytest.mark.parametrize(
    "sources",
    [
        "deb http://mirror.test/debian-security bookworm-security main\n",
        "deb https://vendor.test/apt stable main\n",
        "Types: deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n",
        "Types: deb\nURIs: https://vendor.test/node_20.x\nSuites: nodistro\nComponents: main\n",
        "",
    ],
)
def test_other_archives_are_not(sources: str) -> None:
    assert list(mirrors([sources])) == []


async def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="kubelet"):
        await provide(tmp_path / "cache", tmp_path, tmp_path / "pause.c")
    assert not (tmp_path / "cache").exists()


def test_a_host_without_a_debian_archive_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="no Debian archive"):
        debian_sources("trixie", tmp_path)


@pytest.mark.row("S12")
def test_containers_have_fargates_process_limits() -> None:
    specification = json.loads(base_specification('{"process": {"rlimits": []}, "root": {}}'))
    assert specification["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 65535},
        {"type": "RLIMIT_NPROC", "soft": 1024, "hard": 65535},
    ]
    assert specification["root"] == {}


def test_the_pause_image_holds_together() -> None:
    with tarfile.open(fileobj=io.BytesIO(oci_archive(b"program"))) as archive:
        blobs = {entry.name: archive.extractfile(entry) for entry in archive}
        contents = {name: file.read() for name, file in blobs.items() if file}

    def blob(descriptor: dict[str, str | int]) -> bytes:
        algorithm, _, digest = str(descriptor["digest"]).partition(":")
        content = contents[f"blobs/{algorithm}/{digest}"]
        assert (len(content), sha256(content).hexdigest()) == (descriptor["size"], digest)
        return content

    (named,) = json.loads(contents["index.json"])["manifests"]
    assert named["annotations"]["io.containerd.image.name"] == REFERENCE
    manifest = json.loads(blob(named))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as files:
        assert [(entry.name, entry.mode) for entry in files] == [("pause", 0o755)]
