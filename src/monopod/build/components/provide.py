"""Provides one directory with every program under its own name, built or prebuilt."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monopod.build import build_cache
from monopod.build.components import store
from monopod.build.components.build import build, complaint_about, content_key
from monopod.build.components.catalogue import COMPONENTS, Component, Program
from monopod.build.components.errors import BuildError, ComponentsError, PrebuiltError
from monopod.build.components.toolchain import Toolchain, find_toolchain
from monopod.settings import Settings
from monopod.util import process
from monopod.util.progress import Progress, Report, ignore


@dataclass(frozen=True, slots=True)
class Components:
    """Upstream's programs, ready to run."""

    directory: Path
    """Contains every program of :data:`COMPONENTS` as an executable file of its name."""

    def program(self, name: str) -> Path:
        """Return the path of a program.

        Raises:
            ComponentsError: The program does not exist.
        """
        path = self.directory / name
        if not path.is_file():
            raise ComponentsError(f"there is no program {name} in {self.directory}")
        return path

    def install(self, names: Iterable[str], directory: Path) -> None:
        """Install programs into another directory, for users who cannot reach the cache.

        Hard links within a file system, else copies. Idempotent; a running program is replaced, not
        written to.
        """
        directory.mkdir(parents=True, exist_ok=True)
        store.place({name: self.program(name) for name in names}, directory)


async def provide(
    settings: Settings,
    report: Report = ignore,
    *,
    components: Sequence[Component] = COMPONENTS,
) -> Components:
    """Return all programs: from the cache, from ``MONOPOD_COMPONENTS``, or by building them.

    Raises:
        ComponentsError: They are not available; the message lists every problem.
    """
    root = settings.cache / "components"
    if settings.components is not None:
        return await _take_prebuilt(settings.components, root, components, report)
    toolchain = await find_toolchain(components, settings.cache, report)
    built = {
        component.name: root / f"{component.name}-{content_key(component, toolchain)}"
        for component in components
    }
    view = root / f"all-{_digest(sorted(path.name for path in built.values()))}"
    if store.is_intact(view):
        return Components(view)
    async with build_cache.lock(root, report):
        if store.is_intact(view):
            # Another builder has made it while this one waited for the lock.
            return Components(view)
        for component in components:
            await _ensure_built(component, toolchain, built[component.name], report)
        sources = {
            program.name: built[component.name] / program.file
            for component, program in _programs(components)
        }
        _assemble(sources, view)
    return Components(view)


async def verify(components: Components) -> None:
    """Verify every program against the digest taken when it was built.

    Raises:
        ComponentsError: Programs are missing or have changed; the message lists them.
    """
    damage = await asyncio.to_thread(store.damage, components.directory)
    if damage:
        raise ComponentsError("; ".join(damage))


async def module_directory(
    module: str,
    settings: Settings,
    report: Report = ignore,
    *,
    components: Sequence[Component] = COMPONENTS,
) -> Path:
    """Return the directory of a pinned module's sources, fetched if missing: ``k8s.io/kubernetes``.

    Raises:
        ComponentsError: No component pins the module, or it cannot be fetched.
    """
    component = next((one for one in components if one.module == module), None)
    if component is None:
        raise ComponentsError(f"no component is built from the module {module}")
    toolchain = await find_toolchain(components, settings.cache, report)
    try:
        answer = await process.run(
            toolchain.go,
            "mod",
            "download",
            "-json",
            module,
            env=toolchain.environment(cgo=False),
            cwd=component.directory,
        )
    except process.ProcessError as error:
        raise BuildError(f"cannot fetch the sources of {module}: {error}") from error
    return Path(json.loads(answer)["Dir"])


async def pause_source(settings: Settings, report: Report = ignore) -> Path:
    """Return upstream's ``pause.c``, fetched if missing.

    Raises:
        ComponentsError: Its module cannot be fetched.
    """
    sources = await module_directory("k8s.io/kubernetes", settings, report)
    return sources / "build" / "pause" / "linux" / "pause.c"


async def _ensure_built(
    component: Component, toolchain: Toolchain, directory: Path, report: Report
) -> None:
    if store.is_intact(directory):
        report(Progress(f"{component.name} {component.version}", "in the cache", 1, 1))
        return
    await build(component, toolchain, directory, report)


async def _take_prebuilt(
    directory: Path, root: Path, components: Sequence[Component], report: Report
) -> Components:
    sources, problems = _find_prebuilt(directory, components)
    if problems:
        raise PrebuiltError(f"MONOPOD_COMPONENTS={directory}: " + "; ".join(problems))
    view = root / f"prebuilt-{_prebuilt_key(sources, components)}"
    if store.is_intact(view):
        return Components(view)
    report(Progress("prebuilt components", f"checking {directory}"))
    answers = await asyncio.gather(
        *(
            complaint_about(component, program, sources[program.name])
            for component, program in _programs(components)
        )
    )
    problems = [answer for answer in answers if answer]
    if problems:
        raise PrebuiltError(f"MONOPOD_COMPONENTS={directory}: " + "; ".join(problems))
    async with build_cache.lock(root, report):
        if not store.is_intact(view):
            _assemble(sources, view)
    return Components(view)


def _find_prebuilt(
    directory: Path, components: Sequence[Component]
) -> tuple[dict[str, Path], list[str]]:
    """Find each program's file, by its own name or its binary's; also return the problems."""
    sources: dict[str, Path] = {}
    problems: list[str] = []
    for _, program in _programs(components):
        candidates = [directory / name for name in dict.fromkeys((program.name, program.file))]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            problems.append(f"{program.name} is missing")
        elif not os.access(found, os.X_OK):
            problems.append(f"{found.name} is not executable")
        else:
            sources[program.name] = found
    return sources, list(dict.fromkeys(problems))


def _prebuilt_key(sources: Mapping[str, Path], components: Sequence[Component]) -> str:
    """Return a key that depends on every prebuilt file and every expected version."""
    parts: list[str] = []
    for component, program in _programs(components):
        path = sources[program.name].resolve()
        status = path.stat()
        expected = component.expected_answer(program)
        parts.append(f"{path} {status.st_size} {status.st_mtime_ns} {program.name} {expected}")
    return _digest(parts)


def _assemble(sources: Mapping[str, Path], view: Path) -> None:
    with build_cache.building(view) as partial:
        store.place(sources, partial)
        store.seal(partial)
        build_cache.publish(partial, view)


def _programs(components: Iterable[Component]) -> list[tuple[Component, Program]]:
    return [(component, program) for component in components for program in component.programs]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
