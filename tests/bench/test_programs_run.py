"""``bench programs`` with rounds and an API server that are not real."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from lightkube.models.core_v1 import ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Event

from monopod.bench.errors import BenchError
from monopod.bench.phases import Kind, Phase, PodTimeline, Subject
from monopod.bench.programs import image
from monopod.bench.programs.report import PULL
from monopod.bench.programs.run import ProgramsBenchOptions, ProgramsRun
from monopod.bench.rounds import Rounds, Running, WhileRunning
from monopod.kube import Client
from monopod.node.guest.errors import ImageBuildError
from monopod.util.progress import ignore

pytestmark = pytest.mark.unit

_PULLED = 'Successfully pulled image "x" in 2.5s (2.5s including waiting). Image size: 1 bytes.'


class _Rounds:
    """Calls what is to be done while a pod runs."""

    def __init__(self, failure: str = "") -> None:
        self._failure = failure

    async def run(
        self, subject: Subject, at_once: int, while_running: WhileRunning
    ) -> Sequence[PodTimeline]:
        assert at_once == 1
        if not self._failure:
            await while_running([Running("m-0", "mvm-0", "node", 0.0)])
        return [PodTimeline("m-0", {Phase.READY: 1.0}, subject.driver or "gvisor", self._failure)]


class _Client:
    """Has one event, and a log that grows with each look."""

    def __init__(self, *logs: str) -> None:
        self._logs = list(logs)

    async def list(self, kind: type[Event], namespace: str) -> Any:
        about = functools.partial(ObjectReference, kind="Pod", namespace=namespace)
        events = [
            Event(ObjectReference(name="other"), ObjectMeta(), message=_PULLED, reason="Pulled"),
            Event(about(name="m-0"), ObjectMeta(), message=_PULLED, reason="Pulled"),
        ]
        return type("Found", (), {"items": events})

    async def raw(self, path: str) -> bytes:
        assert path == "/api/v1/namespaces/ns/pods/m-0/log"
        return (self._logs.pop(0) if len(self._logs) > 1 else self._logs[0]).encode()


def _run(rounds: _Rounds, client: _Client) -> ProgramsRun:
    return ProgramsRun(
        cast("Client", client),
        "ns",
        cast("Rounds", rounds),
        ProgramsBenchOptions(seconds=1),
        ignore,
        poll_s=0,
    )


async def test_figures_and_pull_of_a_pod_are_measured() -> None:
    run = _run(_Rounds(), _Client("", "redis_set_per_second 5\n", "redis_set_per_second 5\ndone\n"))
    await run.subject(Subject(Kind.MICROVM))
    (measured,) = run.measured
    assert measured.subject.driver == "gvisor"
    assert measured.figures == {PULL: 2.5, "redis_set_per_second": 5.0}
    assert not run.notes


@pytest.mark.parametrize(
    ("rounds", "log", "note"),
    [
        (_Rounds("no room"), "", "microVM: no room"),
        (_Rounds(), "failed: initdb\n", "microVM: a program failed: initdb"),
    ],
)
async def test_what_fails_is_a_note(rounds: _Rounds, log: str, note: str) -> None:
    run = _run(rounds, _Client(log))
    await run.subject(Subject(Kind.MICROVM))
    assert run.notes == [note]
    assert not run.measured


def test_the_image_has_the_script_and_not_what_it_does_not_need(tmp_path: Path) -> None:
    for name in ("usr/share/doc/redis", "usr/bin", "etc", "usr/lib/llvm-14"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/lib/x86_64-linux-gnu").mkdir()
    (tmp_path / "usr/lib/x86_64-linux-gnu/libLLVM-14.so.1").touch()
    image.furnish(tmp_path, b"#!/bin/sh\n")
    assert not list(tmp_path.rglob("*LLVM*")) + list(tmp_path.rglob("llvm*"))
    assert not (tmp_path / "usr/share/doc").exists()
    assert (tmp_path / "programs.sh").read_bytes() == b"#!/bin/sh\n"
    assert str(image.USER) in (tmp_path / "etc/passwd").read_text()
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777


async def test_an_archive_that_was_built_is_taken_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[Path] = []

    async def unpack(root: Path, packages: Iterable[str], *, variant: str, suite: str) -> None:
        assert "redis-server" in packages
        assert (variant, suite) == ("extract", "bookworm")
        unpacked.append(root)
        (root / "usr/bin").mkdir(parents=True)
        (root / "etc").mkdir()

    monkeypatch.setattr(image, "unpack", unpack)
    first = await image.programs_archive(tmp_path, ignore)
    assert await image.programs_archive(tmp_path, ignore) == first
    assert first.is_file()
    assert len(unpacked) == 1
    assert [path.name for path in (tmp_path / "images").iterdir()] == [first.parent.name]


async def test_packages_that_cannot_be_unpacked_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unpack(root: Path, packages: Iterable[str], *, variant: str, suite: str) -> None:
        raise ImageBuildError(f"no archive of {suite} for {root.name}: {variant} {packages}")

    monkeypatch.setattr(image, "unpack", unpack)
    with pytest.raises(BenchError, match="no archive of bookworm"):
        await image.programs_archive(tmp_path, ignore)
    assert not list((tmp_path / "images").iterdir())
