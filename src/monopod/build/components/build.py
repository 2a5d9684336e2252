"""Builds one component and reports progress in packages."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from monopod.build import build_cache
from monopod.build.components import store
from monopod.build.components.catalogue import Component, Program
from monopod.build.components.errors import BuildError
from monopod.build.components.sources import prepare_sources
from monopod.build.components.toolchain import Toolchain
from monopod.util import process
from monopod.util.progress import Progress, Report


def content_key(component: Component, toolchain: Toolchain) -> str:
    """Return the cache key: sixteen hexadecimal digits that depend on every input of the build."""
    digest = hashlib.sha256()
    machine = os.uname().machine
    recipe = (toolchain.version, machine, str(component.cgo), *component.flags())
    if component.experiments:
        recipe = (*recipe, component.experiments)
    for part in (*recipe, *(f"{file}={path}" for file, path in component.packages.items())):
        digest.update(part.encode() + b"\0")
    for each in component.replacements:
        digest.update(f"{each.file}\0{each.old}\0{each.new}\0".encode())
    for path in _sources(component.directory):
        digest.update(str(path.relative_to(component.directory)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _sources(directory: Path) -> Iterable[Path]:
    yield directory / "go.mod"
    yield directory / "go.sum"
    yield from sorted(directory.rglob("*.go"))


async def build(
    component: Component, toolchain: Toolchain, directory: Path, report: Report
) -> None:
    """Build a component's files and publish them, verified and sealed, at ``directory``.

    Raises:
        BuildError: The build fails, or a program does not report the pinned version.
    """
    title = f"{component.name} {component.version}"
    if component.cgo:
        await _check_c_compiler(component)
    with (
        build_cache.building(directory) as partial,
        build_cache.building(directory.with_name(f"sources-{directory.name}")) as copy,
    ):
        sources = await prepare_sources(component, toolchain, copy / "sources")
        total = await _stale_packages(component, toolchain, sources, Reporter(report, title))
        watcher = Reporter(report, title, total)
        watcher.say("compiling" if total else "linking")
        try:
            await process.stream(
                toolchain.go,
                "build",
                "-v",
                *component.flags(),
                "-o",
                f"{partial}/",
                *component.packages.values(),
                on_line=watcher.line,
                env=toolchain.environment(cgo=component.cgo, experiments=component.experiments),
                cwd=sources,
            )
        except process.ProcessError as error:
            raise BuildError(f"{title} does not build: {error}") from error
        watcher.say("checking")
        files = {program: partial / program.file for program in component.programs}
        wrong = [
            complaint
            for program, file in files.items()
            if (complaint := await complaint_about(component, program, file))
        ]
        if wrong:
            raise BuildError(f"{title} was built wrongly: " + "; ".join(wrong))
        store.seal(partial)
        build_cache.publish(partial, directory)
        watcher.finished()


class Reporter:
    """Turns the output lines of ``go`` into progress."""

    def __init__(self, report: Report, title: str, total: int = 0) -> None:
        self._report = report
        self._title = title
        self._total = total
        self._done = 0

    def line(self, line: str) -> None:
        """Handle a line: a module being fetched, a package being compiled, or an error."""
        if line.startswith("go: downloading "):
            self.say("fetching " + line.removeprefix("go: downloading "))
        elif line and not line.startswith(("#", "go: ")) and " " not in line:
            self._done = min(self._done + 1, self._total)
            self.say("linking" if self._done == self._total else f"compiling {line}")

    def say(self, detail: str) -> None:
        """Report the current step."""
        self._report(Progress(self._title, detail, self._done, self._total))

    def finished(self) -> None:
        """Report completion."""
        self._done = self._total = self._total or 1
        self.say("built")


async def _stale_packages(
    component: Component, toolchain: Toolchain, sources: Path, reporter: Reporter
) -> int:
    """Return how many packages will be compiled: those that Go's own cache lacks.

    Main packages are excluded: a compiled one counts as stale until it is linked.
    """
    reporter.say("listing packages to compile")
    stale = 0

    def count(line: str) -> None:
        nonlocal stale
        stale += line == "true"
        reporter.line(line if line.startswith("go: ") else "")

    try:
        await process.stream(
            toolchain.go,
            "list",
            "-deps",
            "-f={{.Stale}}",
            *component.flags(),
            *component.packages.values(),
            on_line=count,
            env=toolchain.environment(cgo=component.cgo, experiments=component.experiments),
            cwd=sources,
        )
    except process.ProcessError as error:
        message = f"cannot fetch the sources of {component.name} {component.version}: {error}"
        raise BuildError(message) from error
    return max(0, stale - len(component.packages))


async def _check_c_compiler(component: Component) -> None:
    missing: list[str] = []
    if shutil.which("gcc") is None:
        missing.append("gcc (Debian packages gcc and libc6-dev)")
    try:
        await process.run("pkg-config", "--exists", "libseccomp")
    except process.ProcessError:
        missing.append("libseccomp and pkg-config (Debian packages libseccomp-dev, pkg-config)")
    if missing:
        raise BuildError(f"building {component.name} needs {' and '.join(missing)}")


async def complaint_about(component: Component, program: Program, file: Path) -> str | None:
    """Run a program for its version; return what is wrong with it, or None if it is correct."""
    expected = component.expected_answer(program)
    lines: list[str] = []
    # A multi-call program is called by one of its names.
    called = ("bash", "-c", 'exec -a "$0" "$@"', program.name, str(file))
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}
    try:
        await process.stream(
            *called, *program.version_arguments, on_line=lines.append, env=environment
        )
    except process.ProcessError as error:
        return f"{program.name} does not run: {error}"
    answer = "\n".join(lines)
    if expected in answer:
        return None
    heard = answer.strip().splitlines()[0] if answer.strip() else "nothing"
    return f"{program.name} should report '{expected}' but reports '{heard}'"
