"""Runs the real Helm, built from its module at its first use, against a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from monopod.build.components import HELM, provide
from monopod.settings import Settings
from monopod.util.process import run

_WAIT_S: Final = 180
_MARGIN_S: Final = 30

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Release:
    """Where a chart is installed, and under which name."""

    name: str
    namespace: str


RELEASE: Final = Release("monopod", "monopod-system")


@dataclass(frozen=True, slots=True)
class Helm:
    """Helm, with its directories. Every method raises ``ProcessError`` if Helm fails."""

    program: Path
    home: Path
    """Directory of its cache and configuration."""
    kubeconfig: Path | None = None
    """The user that it is; only ``lint`` and ``template`` need none."""

    @classmethod
    async def of(cls, home: Path, kubeconfig: Path | None = None) -> "Helm":
        """Build it unless the cache has it, which takes minutes."""
        programs = await provide(Settings(), components=(HELM,))
        return cls(programs.program(HELM.name), home, kubeconfig)

    async def lint(self, chart: Path, values: Values | None = None) -> str:
        """Examine a chart, and its values by its schema; warnings are failures.

        What is wrong stands in the error's ``stdout``.
        """
        return await self._run("lint", "--strict", *_values(values), str(chart), values=values)

    async def template(
        self,
        chart: Path,
        values: Values | None = None,
        *,
        release: Release = RELEASE,
        options: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """Render a chart, with its CRDs; returns its objects."""
        words = (*_words("template", chart, release), "--include-crds")
        said = await self._run(*words, *_values(values), *options, values=values)
        return [each for each in yaml.safe_load_all(said) if each]

    async def install(
        self,
        chart: Path,
        values: Values | None = None,
        *,
        release: Release = RELEASE,
        wait_s: int = _WAIT_S,
        options: Sequence[str] = (),
    ) -> str:
        """Install a chart into a namespace, which it creates, and wait until all of it is ready."""
        words = (*_words("install", chart, release), "--create-namespace")
        return await self._waiting(*words, *_values(values), *options, values=values, wait_s=wait_s)

    async def upgrade(
        self,
        chart: Path,
        values: Values | None = None,
        *,
        release: Release = RELEASE,
        wait_s: int = _WAIT_S,
        options: Sequence[str] = (),
    ) -> str:
        """Upgrade a release to a chart, with these values alone, and wait until it is ready."""
        words = (*_words("upgrade", chart, release), "--reset-values")
        return await self._waiting(*words, *_values(values), *options, values=values, wait_s=wait_s)

    async def uninstall(self, release: Release = RELEASE, *, wait_s: int = _WAIT_S) -> str:
        """Remove a release, and wait until its objects are gone."""
        return await self._waiting(
            "uninstall", release.name, f"--namespace={release.namespace}", wait_s=wait_s
        )

    async def _waiting(self, *words: str, values: Values | None = None, wait_s: int) -> str:
        waits = ("--wait", f"--timeout={wait_s}s")
        return await self._run(*words, *waits, values=values, timeout_s=wait_s + _MARGIN_S)

    async def _run(
        self, *words: str, values: Values | None = None, timeout_s: float = _WAIT_S
    ) -> str:
        environment = {
            "HELM_CACHE_HOME": str(self.home / "cache"),
            "HELM_CONFIG_HOME": str(self.home / "config"),
            "HELM_DATA_HOME": str(self.home / "data"),
            "HOME": str(self.home),
            "PATH": "/usr/bin:/bin",
        }
        if self.kubeconfig is not None:
            environment["KUBECONFIG"] = str(self.kubeconfig)
        stdin = yaml.safe_dump(dict(values)).encode() if values is not None else None
        return await run(self.program, *words, stdin=stdin, env=environment, timeout_s=timeout_s)


def _words(verb: str, chart: Path, release: Release) -> tuple[str, ...]:
    return verb, release.name, str(chart), f"--namespace={release.namespace}"


def _values(values: Values | None) -> Sequence[str]:
    return () if values is None else ("--values=-",)
