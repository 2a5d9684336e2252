"""Scanners find what is recorded and explained, and nothing else."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from monopod.controlplane import state
from monopod.controlplane.control_plane import ControlPlane
from monopod.node.guest import GuestImage
from tests.controlplane.conftest import plane, settings
from tests.controlplane.traces import innermost
from tests.hardening import record, scanners, subjects
from tests.hardening.record import Counts
from tests.vmm.conftest import guest_image

__all__ = ["guest_image", "plane", "settings"]

_BY_REQUEST: Final = pytest.mark.skipif(
    "MONOPOD_SCAN" not in os.environ, reason="`make scan` builds Trivy, which takes ten minutes"
)
_NOT_SCANNED: Final = ("secrets", "events", "leases", "componentstatuses", "endpoints")
_UPSTREAMS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def _compare(subject: str, found: Counts) -> None:
    """Compare with the record; ``MONOPOD_SCAN=record`` writes it."""
    if os.environ.get("MONOPOD_SCAN") == "record":
        now: dict[str, Any] = dict(record.recorded()) if record.RECORD.exists() else {}
        findings = {**now.get("findings", {}), subject: dict(sorted(found.items()))}
        now = {"digest": subjects.digest(), "findings": dict(sorted(findings.items()))}
        record.RECORD.write_text(json.dumps(now, indent=2) + "\n")
    assert found == record.recorded_counts(subject)


@pytest.mark.kernel
@pytest.mark.row("S19")
async def test_kube_score_finds_what_is_recorded_in_what_a_cluster_starts_with(
    tmp_path: Path,
) -> None:
    _compare("manifests", await scanners.kube_score(subjects.shipped_manifests(), tmp_path))


@pytest.mark.kernel
async def test_kube_score_finds_what_was_planted(tmp_path: Path) -> None:
    demo = next(each for each in subjects.shipped_manifests() if each["kind"] == "Deployment")
    (container,) = demo["spec"]["template"]["spec"]["containers"]
    container["securityContext"] = {"privileged": True}
    found = await scanners.kube_score([demo], tmp_path)
    assert found["container-security-context-privileged"] == 1


@_BY_REQUEST
@pytest.mark.api
async def test_trivy_finds_what_is_recorded_in_the_flags(
    plane: ControlPlane, tmp_path: Path
) -> None:
    services = [each for each in plane.services if each.name in _UPSTREAMS]
    pids = {each.name: each.state.pid for each in await plane.status() if each.state}
    for service in services:
        assert _command(pids[service.name]) == list(service.argv)
    manifests = subjects.processes(services)
    _compare("flags", await scanners.trivy_on_manifests(manifests, tmp_path, cis=True))


def _command(pid: int | None) -> list[str]:
    assert pid is not None
    return Path(f"/proc/{innermost(pid)}/cmdline").read_text().rstrip("\0").split("\0")


@_BY_REQUEST
@pytest.mark.api
async def test_trivy_finds_what_is_recorded_in_the_files(
    plane: ControlPlane, tmp_path: Path
) -> None:
    found = await scanners.trivy_on_manifests([subjects.files(plane.layout)], tmp_path, cis=True)
    _compare("files", found)


@_BY_REQUEST
@pytest.mark.kernel
async def test_trivy_finds_what_is_recorded_in_kubelets(tmp_path: Path) -> None:
    found = await scanners.trivy_on_manifests([subjects.kubelet()], tmp_path, cis=True)
    _compare("kubelets", found)


@_BY_REQUEST
@pytest.mark.api
async def test_both_find_what_is_recorded_in_the_objects(
    plane: ControlPlane, tmp_path: Path
) -> None:
    listed = subjects.objects(await asyncio.to_thread(_objects, plane))
    trivy = await scanners.trivy_on_manifests(listed, tmp_path, cis=False)
    _compare("objects", {**trivy, **await scanners.kube_score(listed, tmp_path)})


def _objects(plane: ControlPlane) -> list[dict[str, Any]]:
    known = state.require(plane.layout.home)
    kubectl = (Path(known.components) / "kubectl", f"--kubeconfig={plane.layout.admin_kubeconfig}")

    def said(*words: str) -> str:
        done = subprocess.run([*kubectl, *words], capture_output=True, text=True, check=True)
        return done.stdout

    kinds = said("api-resources", "--verbs=list", "-o", "name").split()
    # Secrets are contents; the others change all the time, or are no longer served by all.
    wanted = [kind for kind in kinds if kind.split(".")[0] not in _NOT_SCANNED]
    items = json.loads(said("get", "--all-namespaces", "-o", "json", ",".join(wanted)))["items"]
    return [each for each in items if each["kind"] != "ComponentStatus"]


@pytest.fixture(name="root")
def _root(guest_image: GuestImage, tmp_path: Path) -> Iterator[Path]:  # pyright: ignore[reportUnusedFunction]
    """The files of the image that clusters use."""
    target = tmp_path / "root"
    target.mkdir()
    command = ["debugfs", "-R", f"rdump / {target}", guest_image.root_image]
    subprocess.run(command, capture_output=True, check=True)
    yield target
    shutil.rmtree(target)


@_BY_REQUEST
@pytest.mark.kernel
async def test_trivy_finds_what_is_recorded_in_the_guest_image(root: Path, tmp_path: Path) -> None:
    _compare("guest", await scanners.trivy_on_root(root, tmp_path))
