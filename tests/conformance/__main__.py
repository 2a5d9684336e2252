"""Runs upstream's conformance cases on a cluster: ``make test-conformance``.

A run that is stopped goes on where it was: cases that have passed are not run again.
"""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monopod.util.progress import Progress
from tests.conformance import cases, page, results
from tests.conformance.preparation import prepare
from tests.conformance.suite import Suite
from tests.e2e.cluster import Cluster

_ROOT: Final = Path(__file__).parents[2]
_HOME: Final = Path("/var/lib/monopod-conformance")
"""Of a cluster that is made for a run, and removed after it. `MONOPOD_HOME` names another."""
_PATIENCE_S: Final = 1800
"""Of `monopod up`, which may have to build everything."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test-conformance", description=__doc__)
    parser.add_argument("--driver", default="gvisor", help="what the pods' machines run on")
    parser.add_argument("--focus", default="", help="a regular expression that chooses cases")
    parser.add_argument("--at-once", type=int, default=3, help="cases that run at the same time")
    parser.add_argument("--batch", type=int, default=8, help="cases of one start of the suite")
    parser.add_argument("--attempts", type=int, default=1, help="runs of a case until it passes")
    parser.add_argument("--all", action="store_true", help="run skipped cases too")
    parser.add_argument("--results", type=Path, default=_ROOT / "test-results" / "conformance")
    return parser.parse_args()


def _report(progress: Progress) -> None:
    print(f"{progress.task}: {progress.detail}", file=sys.stderr, flush=True)


async def run(
    suite: Suite, waiting: Sequence[str], *, at_once: int, batch: int, label: str
) -> None:
    """Run cases, some at the same time, each batch by one start of the suite's program."""
    queue = list(enumerate(cases.batches(waiting, batch)))
    ended = 0

    async def work() -> None:
        nonlocal ended
        while queue:
            number, names = queue.pop(0)
            found = await suite.run(names, f"{label}-{number:03}")
            ended += len(names)
            for each in found:
                print(f"{each.state} in {each.seconds:.0f} s: {each.case}", flush=True)
            print(f"-- {ended} of {len(waiting)} cases of {label}", flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


async def main() -> int:
    """Run what has not passed yet; returns the exit status."""
    arguments = _arguments()
    home = os.environ.get("MONOPOD_HOME")
    cluster = Cluster(Path(home) if home else _HOME)
    await cluster.monopod("up", "--no-demo", timeout_s=_PATIENCE_S)
    try:
        directory: Path = arguments.results / arguments.driver
        suite = await prepare(cluster, arguments.driver, directory, _report)
        return await _run_all(suite, arguments)
    finally:
        if not home:
            await cluster.monopod("down", timeout_s=_PATIENCE_S)


async def _run_all(suite: Suite, arguments: argparse.Namespace) -> int:
    listed = await suite.list()
    plan = cases.plan(listed, arguments.driver, () if arguments.all else cases.skips())
    before = results.read(suite.record)

    def waits(case: str) -> bool:
        runs = before.get(case, ())
        if any(each.state in (results.PASSED, results.SKIPPED) for each in runs):
            return False
        return len(runs) < arguments.attempts and re.search(arguments.focus, case) is not None

    label = suite.next_label()
    for kind, names, at_once in (
        ("parallel", plan.parallel, arguments.at_once),
        ("serial", plan.serial, 1),
    ):
        chosen = list(filter(waits, names))
        name = f"{label}-{kind}"
        await run(suite, chosen, at_once=at_once, batch=arguments.batch, label=name)
    found = results.read(suite.record)
    title = f"conformance on {arguments.driver}"
    suite.junit.write_text(results.junit(found, plan.skipped, title))
    outcome = page.Outcome(arguments.driver, found, plan.skipped)
    print(page.summary(listed, [outcome]))
    failed = [case for case in listed if outcome.of(case) in page.FAILED]
    for case in failed:
        print(f"{outcome.of(case)}: {case}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
