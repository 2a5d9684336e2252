"""The images that upstream's cases name, made of its Go modules and of Debian's packages.

Upstream makes most of them from Alpine's. The programs that cases call in them are the same: curl,
dig, nc, ss, getent; the rest are busybox's.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.build import build_cache
from monopod.build.components import Components
from monopod.build.images.errors import BuildError
from monopod.build.images.write import ImageConfig, write_archive
from monopod.node.guest.mmdebstrap import unpack
from monopod.util import process
from monopod.util.progress import Progress, Report

REPOSITORY: Final = "e2e-test-images"
"""First part of the names that all images have in the cluster's registry."""
_FORMAT: Final = "1"
"""Version of the build; changes the cache key when the same inputs give another result."""
_SUITE: Final = "trixie"
"""Its busybox is of the version that upstream names."""
_PACKAGES: Final = (
    *("bash", "bind9-dnsutils", "busybox", "curl", "iperf", "iproute2", "libc-bin"),
    *("netcat-openbsd", "nginx-light", "socat", "util-linux"),
)
_NETWORK_TOOLS: Final = (
    *("bin/bash", "bin/ip", "bin/nc.openbsd", "bin/ss", "usr/bin/curl", "usr/bin/dig"),
    *("usr/bin/getent", "usr/bin/iperf", "usr/bin/ipcs", "usr/bin/nslookup", "usr/bin/socat"),
)
_LIBRARIES: Final = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_LOADER: Final = "lib64/ld-linux-x86-64.so.2"
_PATH: Final = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ACCOUNTS: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
    "www-data:x:33:33:www-data:/var/www:/bin/sh\n"
    "user-defined-in-image:x:1000:1000::/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\nadm:x:4:\n"
    "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n",
    "etc/os-release": 'PRETTY_NAME="Debian\'s packages in place of Alpine Linux"\n',
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
"""Cases read agnhost's user and second group, and look for the words "Alpine Linux"."""
_NGINX: Final = """\
error_log /dev/stderr;
events {}
http {
    include /etc/nginx/mime.types;
    access_log /dev/stdout;
    server { listen 80; root /usr/share/nginx/html; }
}
"""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image, with busybox's programs unless it has one program alone."""

    name: str
    """The last part of its name."""
    tags: tuple[str, ...]
    config: ImageConfig
    built: tuple[tuple[str, str], ...] = ()
    """Path in the image: program of the components."""
    packaged: tuple[str, ...] = ()
    """Paths of programs of Debian's packages, which have the same in the image."""
    copied: tuple[str, ...] = ()
    """Files and folders of Debian's packages."""
    sources: tuple[tuple[str, str], ...] = ()
    """Path in the image: file of Kubernetes' module."""
    links: tuple[tuple[str, str], ...] = ()
    """Path in the image: what it leads to."""
    bare: bool = False
    """Whether its programs are static and its only files."""
    setuid: tuple[str, ...] = ()


_ENVIRONMENT: Final = {"PATH": _PATH}
_AGNHOST: Final = ImageConfig(
    entrypoint=("/agnhost",), command=("pause",), environment=_ENVIRONMENT
)
_WEB_SERVER: Final = ImageConfig(
    entrypoint=("/agnhost",), command=("test-webserver",), environment=_ENVIRONMENT
)
_SHELL: Final = ImageConfig(command=("sh",), environment=_ENVIRONMENT)
_PICTURES: Final = "test/images/{0}/html"

RECIPES: Final[tuple[Recipe, ...]] = (
    Recipe(
        "agnhost",
        # The older one, to which cases change pods' images, has the same content.
        ("2.66.1", "2.55"),
        _AGNHOST,
        built=(("agnhost", "agnhost"),),
        packaged=_NETWORK_TOOLS,
        sources=(
            ("localhost.crt", "test/images/agnhost/porter/localhost.crt"),
            ("localhost.key", "test/images/agnhost/porter/localhost.key"),
        ),
        links=(("agnhost-2", "agnhost"), ("bin/nc", "nc.openbsd")),
    ),
    # Debian's busybox has a shell that drops variables whose names are no identifiers, `a-b`: the
    # one that is found by its name alone is another.
    Recipe(
        "busybox",
        ("1.37.0-2",),
        _SHELL,
        packaged=("bin/bash",),
        links=(("usr/local/bin/sh", "/bin/bash"),),
    ),
    Recipe(
        "nginx",
        ("1.27.0-2", "1.28.0-2"),
        ImageConfig(command=("nginx", "-g", "daemon off;"), environment=_ENVIRONMENT),
        packaged=("usr/sbin/nginx",),
        copied=("etc/nginx/mime.types", "usr/share/nginx/html"),
    ),
    Recipe(
        "glibc-dns-testing",
        ("2.1.1",),
        _SHELL,
        packaged=("bin/bash", "usr/bin/dig", "usr/bin/getent", "usr/bin/nslookup"),
    ),
    *(
        Recipe(
            name,
            ("1.8",),
            _WEB_SERVER,
            built=(("agnhost", "agnhost"),),
            sources=tuple(
                (file, f"{_PICTURES.format(name)}/{file}") for file in (f"{name}.jpg", "data.json")
            ),
        )
        for name in ("nautilus", "kitten")
    ),
    Recipe(
        "nonroot", ("1.5",), ImageConfig(command=("sh",), environment=_ENVIRONMENT, user="1234")
    ),
    Recipe(
        "nonewprivs",
        ("1.4",),
        ImageConfig(command=("nnp",), environment=_ENVIRONMENT),
        built=(("usr/local/bin/nnp", "nonewprivs"),),
        setuid=("usr/local/bin/nnp",),
    ),
    Recipe(
        "sample-apiserver",
        ("1.29.2",),
        ImageConfig(entrypoint=("/sample-apiserver",)),
        built=(("sample-apiserver", "sample-apiserver"),),
        bare=True,
    ),
    Recipe(
        "etcd",
        ("3.7.0-0",),
        ImageConfig(environment=_ENVIRONMENT),
        built=(("usr/local/bin/etcd", "etcd"),),
    ),
    Recipe("pause", ("3.10.2",), ImageConfig(entrypoint=("/pause",), user="65535:65535")),
)


@dataclass(frozen=True, slots=True)
class Image:
    """An archive, and the tags under which its image is pushed."""

    archive: Path
    name: str
    tags: tuple[str, ...]


async def build_images(
    components: Components, sources: Path, cache: Path, report: Report
) -> Sequence[Image]:
    """Build all images once; returns them from the cache.

    Args:
        components: Has the programs of :data:`RECIPES`.
        sources: The directory of Kubernetes' module.
        cache: The build cache.
        report: Receives the progress.

    Raises:
        ImageBuildError: Debian's archive cannot be reached.
        BuildError: A program does not compile.
    """
    key = await asyncio.to_thread(_key, components, sources)
    directory = cache / "images" / f"conformance-{key}"
    images = [Image(directory / f"{one.name}.tar", one.name, one.tags) for one in RECIPES]
    if directory.is_dir():
        return images
    task = "images of upstream's cases"
    report(Progress(task, "unpacking Debian's packages", 0, len(RECIPES) + 1))
    with build_cache.building(directory) as partial:
        debian = partial / "debian"
        await unpack(debian, _PACKAGES, variant="extract", suite=_SUITE)
        for done, recipe in enumerate(RECIPES):
            report(Progress(task, recipe.name, done + 1, len(RECIPES) + 1))
            root = partial / recipe.name
            await _fill(recipe, root, debian, components, sources)
            await asyncio.to_thread(
                write_archive,
                root,
                partial / f"{recipe.name}.tar",
                name=f"{REPOSITORY}/{recipe.name}:{recipe.tags[0]}",
                config=recipe.config,
            )
            await asyncio.to_thread(shutil.rmtree, root)
        await asyncio.to_thread(shutil.rmtree, debian)
        partial.rename(directory)
    report(Progress(task, "built", 1, 1))
    return images


async def _fill(
    recipe: Recipe, root: Path, debian: Path, components: Components, sources: Path
) -> None:
    await asyncio.to_thread(root.mkdir)
    if recipe.name == "pause":
        await _compile(sources / "build/pause/linux/pause.c", root / "pause")
        return
    for target, program in recipe.built:
        _copy(components.program(program), root / target)
    if not recipe.bare:
        await _furnish(recipe, root, debian)
    for target, source in recipe.sources:
        _copy(sources / source, root / target)
    for link, target in recipe.links:
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(target)
    _set_modes(recipe, root)


async def _furnish(recipe: Recipe, root: Path, debian: Path) -> None:
    """Add busybox, programs of packages with their libraries, accounts and folders."""
    for name in ("etc", "root", "run", "tmp", "uploads", "var/lib/nginx", "var/log/nginx"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in _ACCOUNTS.items():
        (root / name).write_text(text)
    for name in recipe.copied:
        _copy(debian / name, root / name)
    if recipe.name == "nginx":
        (root / "etc/nginx/nginx.conf").write_text(_NGINX)
    programs = ("bin/busybox", *recipe.packaged)
    for name in programs:
        _copy(debian / name, root / name)
    for library in await _libraries(debian, programs):
        _copy(debian / library, root / library)
    _copy(debian / _LOADER, root / _LOADER)
    for applet in (await _run(debian, debian / "bin/busybox", "--list")).split():
        taken = any((root / folder / applet).exists() for folder in ("bin", "usr/bin", "usr/sbin"))
        if not taken:
            (root / "bin" / applet).symlink_to("busybox")


async def _libraries(debian: Path, programs: Sequence[str]) -> Sequence[str]:
    """Return the shared libraries of programs, as paths in the tree that they are loaded from."""
    found: set[str] = set()
    for program in programs:
        said = await _run(debian, "--list", debian / program)
        for word in said.split():
            if word.startswith(f"{debian}/") and ".so" in word:
                found.add(str(Path(word).relative_to(debian)))
    return sorted(found - {_LOADER})


async def _run(debian: Path, *words: str | Path) -> str:
    """Run a program of the tree with the tree's libraries: the host's may be older."""
    folders = ":".join(str(debian / name) for name in _LIBRARIES)
    return await process.run(debian / _LOADER, "--library-path", folders, *words)


async def _compile(source: Path, target: Path) -> None:
    try:
        await process.run("gcc", "-Os", "-static", "-s", "-DVERSION=3.10.2", "-o", target, source)
    except process.ProcessError as error:
        raise BuildError(f"cannot compile {source} (needs gcc, libc6-dev): {error}") from error


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source.resolve(), target)
        target.chmod(source.stat().st_mode & 0o777)


def _set_modes(recipe: Recipe, root: Path) -> None:
    for path in root.rglob("*"):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)
    for name in recipe.setuid:
        (root / name).chmod(0o6755)
    if (root / "tmp").is_dir():
        (root / "tmp").chmod(0o1777)


def _key(components: Components, sources: Path) -> str:
    digest = hashlib.sha256(
        f"{_FORMAT} {RECIPES} {_PACKAGES} {_SUITE} {_ACCOUNTS} {_NGINX} {sources.name}".encode()
    )
    for program in sorted({program for recipe in RECIPES for _, program in recipe.built}):
        with components.program(program).open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]
