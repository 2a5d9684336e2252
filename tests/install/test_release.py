"""A release is what its maker signed, or nothing is installed."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from monopod.build.images.archive import open_archive
from monopod.build.images.write import ImageConfig, write_archive
from monopod.cli import install
from monopod.install.errors import InstallError
from monopod.install.images import CONTROLLERS, LAUNCHER, MonopodImages
from monopod.install.release import verified, write_release

pytestmark = pytest.mark.unit

REGISTRY = "registry.example.com/monopod"


@pytest.fixture
def images(tmp_path: Path) -> MonopodImages:
    made = MonopodImages(tmp_path / "controllers.tar", tmp_path / "launcher.tar", "1")
    for name, archive in made.references.items():
        root = tmp_path / archive.stem
        root.mkdir()
        (root / "program").write_text(name)
        write_archive(root, archive, name=name, config=ImageConfig())
    return made


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key, with its public key next to it."""
    return _key(tmp_path, "release")


def _install(*words: str) -> Result:
    app = typer.Typer()
    install.register(app)
    return CliRunner().invoke(app, ["--dry-run", *words], env={"NO_COLOR": "1", "COLUMNS": "200"})


def _key(directory: Path, name: str) -> Path:
    private = directory / f"{name}.key"
    for words in (
        ("genpkey", "-algorithm", "ed25519", "-out", private),
        ("pkey", "-in", private, "-pubout", "-out", private.with_suffix(".pub")),
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return private


def test_a_signed_release_names_the_images_by_digest(images: MonopodImages, key: Path) -> None:
    file = write_release(images, key)
    release = verified(file, key.with_suffix(".pub"))
    with open_archive(images.launcher) as opened:
        digest = opened.image().digest
    assert release.reference(LAUNCHER, f"{REGISTRY}/") == f"{REGISTRY}/launcher@{digest}"
    assert release.reference(CONTROLLERS, REGISTRY) != release.reference(LAUNCHER, REGISTRY)


def test_openssl_verifies_it_too(images: MonopodImages, key: Path) -> None:
    file = write_release(images, key)
    words = ("-verify", "-pubin", "-inkey", key.with_suffix(".pub"), "-rawin")
    signature = ("-in", file, "-sigfile", f"{file}.sig")
    subprocess.run(["openssl", "pkeyutl", *words, *signature], check=True, capture_output=True)


def test_what_was_changed_or_signed_by_another_key_is_refused(
    images: MonopodImages, key: Path, tmp_path: Path
) -> None:
    file = write_release(images, key)
    other = _key(tmp_path, "other").with_suffix(".pub")
    with pytest.raises(InstallError, match=r"release\.json\.sig is not a signature"):
        verified(file, other)
    statement = json.loads(file.read_bytes())
    statement["images"][LAUNCHER] = f"sha256:{'0' * 64}"
    file.write_text(json.dumps(statement))
    with pytest.raises(InstallError, match="is not a signature"):
        verified(file, key.with_suffix(".pub"))


def test_a_release_that_is_not_signed_any_more_has_no_signature(
    images: MonopodImages, key: Path
) -> None:
    file = write_release(images, key)
    assert write_release(images, None) == file
    with pytest.raises(InstallError, match=r"release\.json\.sig cannot be read: No such file"):
        verified(file, key.with_suffix(".pub"))


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PUBLIC KEY-----\n"])
def test_a_file_that_is_no_key_is_one_error(
    images: MonopodImages, tmp_path: Path, content: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(content)
    with pytest.raises(InstallError, match="broken is no private key"):
        write_release(images, broken)
    with pytest.raises(InstallError, match="broken is no public key"):
        verified(images.controllers.with_name("release.json"), broken)


def test_the_command_installs_a_release_by_digest(images: MonopodImages, key: Path) -> None:
    file = write_release(images, key)
    public = str(key.with_suffix(".pub"))
    given = ("--release", str(file), "--verify-key", public, "--registry", REGISTRY)
    done = _install(*given)
    assert done.exit_code == 0, done.output
    named = {
        container["image"]
        for each in yaml.safe_load_all(done.output)
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    (reference,) = named
    assert re.fullmatch(rf"{REGISTRY}/controllers@sha256:[0-9a-f]{{64}}", reference)


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--controllers-image", "a"),
        ("--release", "r"),
        ("--release", "r", "--verify-key", "k"),
        ("--release", "r", "--verify-key", "k", "--registry", "x", "--launcher-image", "b"),
    ],
)
def test_half_of_what_is_needed_is_refused(given: tuple[str, ...]) -> None:
    done = _install(*given)
    assert done.exit_code == 2
    assert "--release" in done.output
