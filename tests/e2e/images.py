"""Images of the tests' own Python, of installed programs and of Go modules' programs."""

import asyncio
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import botocore

from monopod.build.images import debian
from monopod.build.images.write import ImageConfig, write_archive
from monopod.util import process
from tests.e2e import go
from tests.monitoring import prometheus

PYTHON: Final = "/usr/bin/python"
MINIO: Final = "/usr/bin/minio"
COREDNS: Final = "/coredns"
NODE_EXPORTER: Final = "/usr/bin/prometheus-node-exporter"
PROMETHEUS: Final = "/prometheus"
_PACKAGES: Final = "/usr/lib/boto3"
_BOTO3: Final = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
_SERVICES: Final = frozenset({"s3", "sts"})
"""Services whose descriptions are kept, of botocore's some 400."""
_NOT_NEEDED: Final = (
    *("__pycache__", "site-packages", "dist-packages", "test", "idlelib", "tkinter", "ensurepip"),
    *("lib2to3", "pydoc_data", "turtledemo", "config-*", "_tkinter*", "libpython*.a"),
)
_AGNHOST: Final = "k8s.io/kubernetes/test/images/agnhost"


async def python_image(work: Path) -> Path:
    """Archive the Python that runs these tests, with the installed boto3."""
    root = work / "python"
    program = _copy(root, PYTHON, Path(sys.executable))
    standard = {Path(sysconfig.get_path(name)).name for name in ("stdlib", "platstdlib")}
    for name in standard:
        source = Path(sys.base_prefix) / "lib" / name
        shutil.copytree(
            source, root / source.relative_to("/"), ignore=shutil.ignore_patterns(*_NOT_NEEDED)
        )
    await _copy_libraries(root, [program, *root.rglob("lib-dynload/*.so")])
    installed = Path(botocore.__file__).parents[1]
    for name in _BOTO3:
        _copy(root, f"{_PACKAGES}/{name}", installed / name)
    for service in (root / _PACKAGES.lstrip("/") / "botocore" / "data").iterdir():
        if service.is_dir() and service.name not in _SERVICES:
            shutil.rmtree(service)
    environment = {"PYTHONHOME": sys.base_prefix, "PYTHONPATH": _PACKAGES, "HOME": "/tmp"}
    return await _archive(root, work / "python.tar", ImageConfig(environment=environment))


async def minio_image(work: Path) -> Path:
    """Build and archive MinIO; the first build takes minutes."""
    program = work / "minio-program"
    await go.build("minio", program)
    _copy(work / "minio", MINIO, program)
    return await _archive(work / "minio", work / "minio.tar", ImageConfig())


async def agnhost_image(work: Path) -> Path:
    """Build and archive agnhost, which upstream's tests run, with the tag that they use."""
    program = work / "agnhost-program"
    await go.build("upstream", program, package=_AGNHOST)
    source = await go.directory_of("upstream", _AGNHOST)
    _copy(work / "agnhost", "/agnhost", program)
    config = ImageConfig(entrypoint=("/agnhost",), command=("pause",))
    tag = (source / "VERSION").read_text().strip()
    return await _archive(work / "agnhost", work / "agnhost.tar", config, tag)


async def coredns_image(components: Path, work: Path) -> Path:
    """Archive CoreDNS, the same program as the VPC's resolver."""
    _copy(work / "coredns", COREDNS, components / "coredns")
    return await _archive(work / "coredns", work / "coredns.tar", ImageConfig())


async def node_exporter_image(work: Path) -> Path:
    """Archive Prometheus' node exporter from its Debian package, with its libraries."""
    unpacked, downloads, root = (work / name for name in ("unpacked", "debs", "node-exporter"))
    downloads.mkdir()
    packages = await debian.find(["prometheus-node-exporter"])
    await debian.unpack(packages, unpacked, downloads)
    program = _copy(root, NODE_EXPORTER, unpacked / NODE_EXPORTER.lstrip("/"))
    await _copy_libraries(root, [program])
    config = ImageConfig(entrypoint=(NODE_EXPORTER,))
    return await _archive(root, work / "node-exporter.tar", config)


async def prometheus_image(work: Path) -> Path:
    """Archive Debian's Prometheus."""
    program = await asyncio.to_thread(prometheus.programs) / "prometheus"
    copied = _copy(work / "prometheus", PROMETHEUS, program)
    await _copy_libraries(work / "prometheus", [copied])
    return await _archive(work / "prometheus", work / "prometheus.tar", ImageConfig())


async def program_image(work: Path, to: str, program: Path, *more: tuple[str, Path]) -> Path:
    """Archive a statically linked program, the image's entry point, and other programs.

    Args:
        work: A directory; the archive is in it, named as the program.
        to: The program's path in the image.
        program: The program.
        more: Paths of others in the image, and the programs.
    """
    name = Path(to).name
    for path, each in ((to, program), *more):
        _copy(work / name, path, each)
    return await _archive(work / name, work / f"{name}.tar", ImageConfig(entrypoint=(to,)))


async def _copy_libraries(root: Path, programs: Iterable[Path]) -> None:
    """Copy the programs' shared libraries to the paths that they are loaded from."""
    said = await process.run("ldd", *programs)
    words = (word for line in said.splitlines() for word in line.split())
    for path in {word for word in words if word.startswith("/") and not word.endswith(":")}:
        _copy(root, path, Path(path))


def _copy(root: Path, to: str, source: Path) -> Path:
    """Copy a path's target, symbolic links resolved; returns it."""
    target = root / to.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    source = source.resolve()
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
    return source


async def _archive(root: Path, archive: Path, config: ImageConfig, tag: str = "1") -> Path:
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    name = f"e2e/{archive.stem}:{tag}"
    await asyncio.to_thread(write_archive, root, archive, name=name, config=config)
    return archive
