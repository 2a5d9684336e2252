"""Runs scanners; each is built from its publisher's module at its first use."""

import asyncio
import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from monopod.build.components import KUBE_SCORE, TRIVY, Component, provide
from monopod.settings import Settings
from monopod.util import process
from tests.hardening.record import Counts

_CIS: Final = "KCV-"
"""Trivy's checks of CIS's Kubernetes Benchmark, by number."""
_OK: Final = 10


async def kube_score(documents: Iterable[dict[str, Any]], directory: Path) -> Counts:
    """Return how many objects fail each of kube-score's checks."""
    file = directory / "objects.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    program = await _program(KUBE_SCORE)
    options = ("--output-format=json", "--kubernetes-version=v1.37")
    # It fails if it finds anything.
    done = await asyncio.to_thread(
        subprocess.run,
        [program, "score", *options, file],
        capture_output=True,
        timeout=60,
        check=False,
    )
    found = Counter[str]()
    for scored in json.loads(done.stdout):
        for each in scored["checks"]:
            found[each["check"]["id"]] += not each["skipped"] and each["grade"] < _OK
    return +found


async def trivy_on_manifests(
    documents: Iterable[dict[str, Any]], directory: Path, *, cis: bool
) -> Counts:
    """Return what Trivy finds in manifests.

    Args:
        documents: The manifests.
        directory: An empty directory.
        cis: Whether only the checks of CIS's benchmark count: a process that is presented as a pod
            has no container's context.
    """
    subject = directory / "manifests"
    subject.mkdir()
    (subject / "all.yaml").write_text(yaml.safe_dump_all(documents))
    report = await _trivy(directory, "config", "--misconfig-scanners=kubernetes", subject)
    found = _misconfigurations(report)
    return {name: count for name, count in found.items() if name.startswith(_CIS) or not cis}


async def trivy_on_root(root: Path, directory: Path) -> Counts:
    """Return the secrets and misconfigurations that Trivy finds in a root file system."""
    report = await _trivy(directory, "rootfs", "--scanners=misconfig,secret", root)
    assert report["Metadata"]["OS"]["Family"] == "debian"
    secrets = Counter[str](
        each["RuleID"] for result in report["Results"] for each in result.get("Secrets", [])
    )
    return _misconfigurations(report) | secrets


def _misconfigurations(report: dict[str, Any]) -> Counter[str]:
    results: Sequence[dict[str, Any]] = report.get("Results", [])
    assert results, "Trivy scanned nothing"
    return Counter(each["ID"] for result in results for each in result.get("Misconfigurations", []))


async def _trivy(directory: Path, command: str, *words: str | Path) -> dict[str, Any]:
    program = await _program(TRIVY)
    file = directory / "report.json"
    # The checks that are part of the program; nothing is fetched.
    offline = ("--skip-check-update", "--skip-version-check", "--offline-scan")
    options = ("--quiet", "--format=json", f"--cache-dir={directory}", f"--output={file}")
    usable = offline if command == "rootfs" else offline[:2]
    await process.run(program, command, *usable, *options, *words, timeout_s=300)
    return json.loads(file.read_text())


async def _program(component: Component) -> Path:
    built = await provide(Settings(), components=(component,))
    return built.program(component.name)
