"""What is collected of a cluster: a whole one, one that hangs, and none."""

import stat
import time
from pathlib import Path

import pytest

from monopod.controlplane import state
from tests.framework.evidence import KUBERNETES, MONOPOD, Limits, collect, slug

pytestmark = pytest.mark.unit

_AMPLE = Limits(whole_s=60, step_s=30)
"""Nothing here takes long but on a busy host."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home as a cluster leaves it, with logs and consoles."""
    home = tmp_path / "home"
    (home / "logs" / "scheduler").mkdir(parents=True)
    (home / "logs" / "scheduler" / "current").write_text("one\ntwo\n")
    (home / "machines" / "mvm-0123456789" / "console").mkdir(parents=True)
    (home / "machines" / "mvm-0123456789" / "console" / "current").write_text("boot\n")
    (home / "machines" / "mvm-0123456789" / "console" / "lock").touch()
    state.save(home, state.State(transit=3, components=str(tmp_path / "components")))
    return home


def _kubectl(home: Path, script: str) -> None:
    program = home.parent / "components" / "kubectl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_logs_consoles_and_objects_become_files(home: Path, tmp_path: Path) -> None:
    _kubectl(home, 'case "$*" in *custom-columns*) echo web;; *) echo "$@";; esac')
    out = tmp_path / "out"
    collect(out, home, ["e2e-uml-vpc"], _AMPLE)
    assert (out / "logs" / "scheduler.log").read_text() == "one\ntwo\n"
    assert (out / "consoles" / "mvm-0123456789-console.log").read_text() == "boot\n"
    assert len(list((out / "consoles").iterdir())) == 1
    assert "get all,events," in (out / "kubernetes.yaml").read_text()
    assert "get microvms," in (out / "monopod.yaml").read_text()
    assert (out / "explain" / "e2e-uml-vpc-web.txt").exists()
    assert (out / "status.txt").exists()
    # There are no network namespaces of such a home.
    assert "network/router-nft.txt: exited with 1" in (out / "uncollected.txt").read_text()


def test_no_secret_is_asked_for() -> None:
    assert not {"secrets", "secret", "configmaps"} & {*KUBERNETES, *MONOPOD}


def test_a_command_that_hangs_costs_its_own_file_alone(home: Path, tmp_path: Path) -> None:
    # Its child keeps the file open that it prints to.
    _kubectl(home, "echo begun; sleep 600 & wait")
    out = tmp_path / "out"
    began = time.monotonic()
    collect(out, home, ["e2e-uml-vpc"], Limits(whole_s=8, step_s=2))
    assert time.monotonic() - began < 30
    assert (out / "kubernetes.yaml").read_text() == "begun\n"
    assert "kubernetes.yaml: no end within 2.0 s" in (out / "uncollected.txt").read_text()
    assert (out / "logs" / "scheduler.log").exists()


def test_nothing_is_larger_than_it_may_be(home: Path, tmp_path: Path) -> None:
    _kubectl(home, "yes | head -c 100000")
    (home / "logs" / "scheduler" / "current").write_text("x" * 1000 + "the end")
    out = tmp_path / "out"
    collect(out, home, (), Limits(whole_s=60, step_s=30, log_bytes=7, output_bytes=100))
    assert (out / "logs" / "scheduler.log").read_text() == "the end"
    assert (out / "kubernetes.yaml").stat().st_size == 100
    assert "kubernetes.yaml is cut at 100 bytes" in (out / "uncollected.txt").read_text()


def test_without_a_cluster_the_reasons_are_all_there_is(tmp_path: Path) -> None:
    out = tmp_path / "out"
    collect(out, tmp_path / "none", ["e2e-uml-vpc"], _AMPLE)
    said = (out / "uncollected.txt").read_text()
    assert "there is no cluster" in said
    assert "logs: no file" in said


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("tests/e2e/test_vpc.py::test_dns[uml]", "test_vpc.test_dns-uml"),
        ("tests/e2e/test_x.py::test_y[../../etc]", "test_x.test_y-..-..-etc"),
        ("test_x.py::" + "y" * 500, "test_x." + "y" * 143),
    ],
)
def test_a_directory_is_named_after_its_test(node: str, expected: str) -> None:
    assert slug(node) == expected
