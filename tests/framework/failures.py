"""When evidence is collected: a hook of pytest's, and what the fixtures let it know.

It runs as soon as a test or one of its fixtures has failed, before any fixture is torn down.
"""

import contextlib
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from xdist.workermanage import WorkerController

from tests.framework.evidence import collect, slug

KEEP: Final = "MONOPOD_E2E_KEEP"
"""Environment variable that keeps the cluster when the run is over, if it is set."""
_MOST_FAILURES: Final = 10
_SECTION: Final = "evidence"
_MARK: Final = "evidence_path"
_KEPT: Final = "kept_home"
"""The key of a worker's output that names the home of the cluster it kept."""


@dataclass
class Subject:
    """What is under test now, as the fixtures say."""

    home: Path | None = None
    """The cluster's, from before it is started."""
    namespaces: list[str] = field(default_factory=list[str])
    """Those of the test that runs."""
    kept: bool = False
    """Whether the cluster stays when the run is over."""
    kept_homes: list[str] = field(default_factory=list[str])
    """Homes of all clusters that stay, those of other workers too."""
    failures: int = 0
    """Failures that evidence was collected of."""

    @contextlib.contextmanager
    def namespace(self, name: str) -> Generator[None]:
        """Have a namespace count as the test's meanwhile."""
        self.namespaces.append(name)
        try:
            yield
        finally:
            self.namespaces.remove(name)


_SUBJECT: Final = pytest.StashKey[Subject]()


def subject(config: pytest.Config) -> Subject:
    """Return the one of this run."""
    return config.stash.setdefault(_SUBJECT, Subject())


def keeping() -> bool:
    """Say whether the cluster shall be kept."""
    return os.environ.get(KEEP, "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Collect evidence of a failure, and name its place in the failure's report."""
    report = yield
    if report.failed and call.excinfo is not None:
        try:
            said = _collect(item, report, call.excinfo.value)
        except Exception as error:  # it must not hide the failure it is of
            said = f"it could not be collected: {type(error).__name__}: {error}"
        report.sections.append((_SECTION, said))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note the home of a cluster that is kept; a worker notes it where its controller reads."""
    known = subject(session.config)
    if known.kept and known.home is not None:
        known.kept_homes.append(str(known.home))
        output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_KEPT] = str(known.home)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take over the home of the cluster that a worker kept."""
    output: dict[str, object] = getattr(node, "workeroutput", {})
    if home := output.get(_KEPT):
        subject(node.config).kept_homes.append(str(home))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how clusters that are kept are reached and removed."""
    for home in subject(config).kept_homes:
        command = f"MONOPOD_HOME={home} .venv/bin/monopod"
        terminalreporter.section("the cluster is kept")
        terminalreporter.line(f"to look:      {command} kubectl -- get pods -A")
        terminalreporter.line(f"to remove it: {command} down")


def _collect(item: pytest.Item, report: pytest.TestReport, error: BaseException) -> str:
    known = subject(item.config)
    if (collected := getattr(error, _MARK, None)) is not None:
        return f"{collected} (the same failure of a shared fixture)"
    if known.home is None:
        return "none: there is no cluster yet"
    if known.failures >= _MOST_FAILURES:
        return f"none: collected for the first {_MOST_FAILURES} failures only"
    known.failures += 1
    # A test that failed and cannot be torn down either has evidence of both.
    name = slug(item.nodeid) + ("-teardown" if report.when == "teardown" else "")
    directory = item.config.rootpath / "test-results" / name
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    sections = (f"--- {title}\n{content}" for title, content in report.sections)
    (directory / "failure.txt").write_text("\n".join((report.longreprtext, *sections, "")))
    collect(directory, known.home, known.namespaces)
    shown = str(directory.relative_to(item.config.rootpath))
    with contextlib.suppress(AttributeError):
        setattr(error, _MARK, shown)
    return shown
