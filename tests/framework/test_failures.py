"""When evidence is collected, seen in runs of pytest of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

_ROOT = Path(__file__).resolve().parents[2]
_CONFTEST = """
import os
from pathlib import Path

import pytest

from tests.framework import failures
from tests.framework.failures import (
    pytest_runtest_makereport,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)


def collect(directory, home, namespaces):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "seen").write_text(" ".join(namespaces))
    {collecting}


failures.collect = collect


@pytest.fixture(scope="session", autouse=True)
def cluster(request):
    known = failures.subject(request.config)
    known.home = Path("/home/of", os.environ.get("PYTEST_XDIST_WORKER", "it"))
    known.kept = failures.keeping()


@pytest.fixture
def namespace(request):
    with failures.subject(request.config).namespace("torn-down-later"):
        yield
"""


def _pytest(
    directory: Path,
    tests: str,
    collecting: str = "pass",
    options: Sequence[str] = (),
    **environment: str,
) -> str:
    (directory / "conftest.py").write_text(_CONFTEST.replace("{collecting}", collecting))
    (directory / "test_it.py").write_text("import pytest\n\n" + tests)
    (directory / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            # Apart from the directories that this run of pytest removes.
            f"--basetemp={directory / 'temporary'}",
            *options,
            "test_it.py",
        ],
        cwd=directory,
        env={
            **{name: value for name, value in os.environ.items() if "XDIST" not in name},
            "PYTHONPATH": str(_ROOT),
            "NO_COLOR": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def _collected(directory: Path) -> dict[str, str]:
    return {
        path.name: (path / "seen").read_text() for path in (directory / "test-results").glob("*")
    }


def test_a_failure_has_evidence_from_before_its_fixtures_go(tmp_path: Path) -> None:
    said = _pytest(
        tmp_path,
        "def test_bad(namespace):\n    print('printed before')\n    assert 1 == 2\n"
        "def test_good(namespace):\n    pass\n",
    )
    assert _collected(tmp_path) == {"test_it.test_bad": "torn-down-later"}
    text = (tmp_path / "test-results" / "test_it.test_bad" / "failure.txt").read_text()
    assert "assert 1 == 2" in text
    assert "printed before" in text
    assert "- evidence -" in said
    assert "test-results/test_it.test_bad\n" in said
    assert "assert 1 == 2" in said
    assert "1 failed, 1 passed" in said


def test_a_fixture_that_fails_has_evidence_once_for_all_who_share_it(tmp_path: Path) -> None:
    said = _pytest(
        tmp_path,
        "@pytest.fixture(scope='module')\n"
        "def shared(): raise ValueError('no')\n"
        "def test_one(namespace, shared): pass\n"
        "def test_two(namespace, shared): pass\n",
    )
    assert list(_collected(tmp_path)) == ["test_it.test_one"]
    assert "test-results/test_it.test_one (the same failure of a shared fixture)" in said
    assert "2 errors" in said


def test_a_failure_on_the_way_out_does_not_replace_the_first_one_s_evidence(
    tmp_path: Path,
) -> None:
    _pytest(
        tmp_path,
        "@pytest.fixture\n"
        "def untidy():\n    yield\n    raise ValueError('no')\n"
        "def test_bad(untidy): assert False\n",
    )
    assert sorted(_collected(tmp_path)) == ["test_it.test_bad", "test_it.test_bad-teardown"]


def test_evidence_is_collected_of_the_first_ten_failures(tmp_path: Path) -> None:
    said = _pytest(
        tmp_path,
        "@pytest.mark.parametrize('n', range(12))\ndef test_bad(n): assert n < 0\n",
    )
    assert len(_collected(tmp_path)) == 10
    assert said.count("none: collected for the first 10 failures only") == 2


def test_a_collection_that_fails_does_not_hide_the_failure(tmp_path: Path) -> None:
    said = _pytest(tmp_path, "def test_bad(): assert 1 == 2\n", "raise OSError('disk full')")
    assert "assert 1 == 2" in said
    assert "it could not be collected: OSError: disk full" in said
    assert "1 failed" in said


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("", False), ("0", False)])
def test_a_cluster_that_is_kept_says_how_to_reach_and_remove_it(
    tmp_path: Path, value: str, kept: bool
) -> None:
    said = _pytest(tmp_path, "def test_good(): pass\n", MONOPOD_E2E_KEEP=value)
    assert ("MONOPOD_HOME=/home/of/it .venv/bin/monopod down" in said) == kept


def test_the_clusters_of_all_workers_are_named(tmp_path: Path) -> None:
    tests = "@pytest.mark.parametrize('n', range(4))\ndef test_good(n): pass\n"
    said = _pytest(tmp_path, tests, options=("-n2",), MONOPOD_E2E_KEEP="1")
    for worker in ("gw0", "gw1"):
        assert f"MONOPOD_HOME=/home/of/{worker} .venv/bin/monopod down" in said
