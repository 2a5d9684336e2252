"""Security updates: where packages come from, and what an image lacks."""

import os
from pathlib import Path

import pytest

from monopod.node.guest import updates
from monopod.node.guest.archive import debian_sources
from monopod.node.guest.errors import ImageBuildError
from monopod.node.guest.image import CNI_PLUGINS, PROGRAMS, GuestImage, provide

pytestmark = pytest.mark.unit

_LISTS = {
    "one-line": "deb http://m.test/debian bookworm main\n"
    "deb http://s.test/debian-security bookworm-security main\n",
    "deb822": "Types: deb\nURIs: http://m.test/debian\nSuites: bookworm bookworm-updates\n\n"
    "Types: deb\nURIs: http://s.test/debian-security\nSuites: bookworm-security\n",
}


@pytest.mark.parametrize("name", _LISTS)
def test_packages_come_with_updates_and_security_updates(name: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(_LISTS[name])
    found = [line.split()[-3:] for line in debian_sources("trixie", tmp_path)]
    assert found == [
        ["http://m.test/debian", "trixie", "main"],
        ["http://m.test/debian", "trixie-updates", "main"],
        ["http://s.test/debian-security", "trixie-security", "main"],
    ]
    assert all("signed-by=/usr/share/keyrings/" in line for line in debian_sources("x", tmp_path))
    *_, security = debian_sources("trixie", tmp_path)
    assert "trixie-automatic" not in security, "another key signs security updates"


def test_a_host_without_security_updates_gets_debians_for_its_guests(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://m.test/debian bookworm main\n")
    assert "security.debian.org" in debian_sources("trixie", tmp_path)[-1]


async def test_only_newer_versions_count_and_the_kernel_by_its_metapackage() -> None:
    have = {
        "libc6": "2.41-12",
        "zlib1g": "1:1.3.1-1",
        "bash": "5.2-2",
        "linux-image-6.12.117+deb13-cloud-amd64": "6.12.117-1",
    }
    archive = {
        "libc6": "2.41-12+deb13u1",
        "zlib1g": "1:1.3.1-1",
        "bash": "5.2-1",
        "linux-image-cloud-amd64": "6.12.118-1",
        "not-in-the-image": "1",
    }
    assert await updates.outdated(have, archive) == [
        "libc6 2.41-12 → 2.41-12+deb13u1",
        "linux-image-cloud-amd64 6.12.117-1 → 6.12.118-1",
    ]


async def test_versions_are_part_of_what_an_image_is_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def ask() -> updates.Versions:
        nonlocal asked
        asked += 1
        return {"libc6": str(asked)}

    async def build(image: GuestImage, *_: object) -> None:
        os.mkdir(image.directory)  # noqa: PTH102

    monkeypatch.setattr(updates, "ask", ask)
    monkeypatch.setattr("monopod.node.guest.image._build", build)
    for name in (*PROGRAMS, *CNI_PLUGINS, "ctr", "runsc", "pause.c"):
        (tmp_path / name).write_text(name)

    async def image(*, refresh: bool = False) -> str:
        made = await provide(tmp_path / "c", tmp_path, tmp_path / "pause.c", refresh=refresh)
        return made.hash

    first = await image()
    assert (await image(), asked) == (first, 1), "the archive is asked once"
    second = await image(refresh=True)
    assert second != first
    assert (await image(), asked) == (second, 2)


async def test_an_images_age_and_what_it_lacks(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.write_text("libc6 2.41-12\nbash 5.2-2\n")
    os.utime(packages, (1_800_000_000, 1_800_000_000))
    age = await updates.age(packages, tmp_path)
    assert (age.built.year, age.checked, age.outdated) == (2027, None, ())
    (tmp_path / "guest").mkdir()
    (tmp_path / "guest/versions").write_text("bash 5.2-3\nlibc6 2.41-12\n")
    age = await updates.age(packages, tmp_path)
    assert age.checked is not None
    assert age.outdated == ("bash 5.2-2 → 5.2-3",)


async def test_an_archive_that_does_not_answer_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ("deb [arch=amd64] file:///nonexistent trixie main",)

    def sources(_suite: str) -> tuple[str, ...]:
        return lines

    monkeypatch.setattr(updates, "debian_sources", sources)
    with pytest.raises(ImageBuildError, match="does not answer"):
        await updates.refresh(tmp_path)
    assert updates.known(tmp_path) == ""
