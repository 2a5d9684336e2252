"""Runs upstream's cases against a cluster in batches, and records each result as it comes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.util import process
from tests.conformance import cases, results

_PATIENCE_S: Final = 3000
"""Of one batch. Upstream's own limits for a case are minutes."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Upstream's program, and what it runs against."""

    program: Path
    kubectl: Path
    kubeconfig: Path
    registries: Path
    """The file that names the registries of its images."""
    directory: Path
    """Results and logs."""

    @property
    def record(self) -> Path:
        return self.directory / "results.jsonl"

    @property
    def junit(self) -> Path:
        return self.directory / "junit.xml"

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "KUBE_TEST_REPO_LIST": str(self.registries)}

    def next_label(self) -> str:
        """Return the first part of the names of a run's logs, which no other run has."""
        label = f"run-{len(list(self.directory.glob('run-*.started')))}"
        (self.directory / f"{label}.started").touch()
        return label

    async def list(self) -> tuple[str, ...]:
        """Return all conformance cases, without a cluster."""
        report = self.directory / "list.json"
        await process.run(
            self.program,
            "-ginkgo.dry-run",
            f"-ginkgo.focus={cases.FOCUS}",
            f"-ginkgo.json-report={report}",
            env=self.environment,
        )
        return cases.names(report)

    async def run(self, batch: Sequence[str], name: str) -> Sequence[results.Result]:
        """Run cases one after another; records and returns the results of those that ended."""
        report, log = (self.directory / f"{name}.{suffix}" for suffix in ("json", "log"))
        report.unlink(missing_ok=True)
        with log.open("w") as out:
            try:
                await process.stream(
                    self.program,
                    f"-kubeconfig={self.kubeconfig}",
                    f"-kubectl-path={self.kubectl}",
                    "-provider=skeleton",
                    "-allowed-not-ready-nodes=-1",
                    f"-ginkgo.focus={cases.pattern(batch)}",
                    "-ginkgo.v",
                    "-ginkgo.no-color",
                    f"-ginkgo.timeout={_PATIENCE_S}s",
                    f"-ginkgo.json-report={report}",
                    on_line=lambda line: print(line, file=out, flush=True),
                    env=self.environment,
                )
            except process.ProcessError as error:
                print(error, file=out)
        found = results.from_report(report) if report.exists() else []
        # It also describes the thousands of cases that were not chosen.
        report.unlink(missing_ok=True)
        results.append(found, self.record)
        return found
