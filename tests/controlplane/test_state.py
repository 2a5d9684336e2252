import multiprocessing
from pathlib import Path

import pytest

from monopod.controlplane import state
from monopod.controlplane.errors import ClusterError, NoClusterError
from monopod.controlplane.state import State

pytestmark = pytest.mark.unit

KNOWN = State(transit=3, components="/cache/components", guest_image="/cache/guest")


def test_saved_state_is_loaded(tmp_path: Path) -> None:
    state.save(tmp_path, KNOWN)
    assert state.load(tmp_path) == KNOWN


def test_a_missing_cluster_is_an_error_only_if_required(tmp_path: Path) -> None:
    assert state.load(tmp_path) is None
    with pytest.raises(NoClusterError, match="monopod up"):
        state.require(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"transit": "x"}', "[]"])
def test_the_error_for_a_damaged_file_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "cluster.json").write_text(text)
    with pytest.raises(ClusterError, match=r"cluster\.json"):
        state.load(tmp_path)


def test_the_lock_is_exclusive(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with (
        state.locked(tmp_path),
        pytest.raises(ClusterError, match="another"),
        state.locked(tmp_path),
    ):
        pass
    # The lock is released when its process dies.
    child = context.Process(target=_die_locked, args=(tmp_path,))
    child.start()
    child.join()
    with state.locked(tmp_path):
        pass


def _die_locked(home: Path) -> None:
    import os  # noqa: PLC0415 - in the child alone

    with state.locked(home):
        os._exit(0)
