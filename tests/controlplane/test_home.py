from pathlib import Path

import pytest

from monopod.controlplane import home
from monopod.controlplane.errors import ClusterError
from monopod.controlplane.layout import Layout
from monopod.settings import Settings

pytestmark = pytest.mark.unit


def test_a_new_home_is_claimed_and_removed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "a" / "b")
    for _ in range(2):
        assert home.claim(settings) == settings.home
    (settings.home / "etcd").mkdir()
    (settings.home / "etcd" / "db").touch()
    (settings.home / "cluster.json").touch()
    assert home.verify(settings) == settings.home
    assert home.remove(settings.home) == []
    assert not settings.home.exists()
    assert home.remove(home.verify(settings)) == []


def test_a_removal_that_was_killed_can_be_repeated(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    home.claim(settings)
    (settings.home / ".cluster.json.123").touch()
    (settings.home / ".monopod-home.json.123").touch()
    (settings.home / "cluster.json").unlink(missing_ok=True)
    assert home.remove(home.verify(settings)) == []
    settings.home.mkdir()
    (settings.home / ".monopod-home.json.123").touch()
    assert home.remove(home.verify(settings)) == []
    assert not settings.home.exists()


@pytest.mark.row("S19")
@pytest.mark.parametrize("act", [home.claim, home.verify])
def test_a_foreign_directory_is_refused_and_left_alone(tmp_path: Path, act: object) -> None:
    assert callable(act)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ClusterError, match="is not a cluster's home"):
        act(Settings(home=tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_traceback_of_a_command_without_a_cluster_is_no_foreign_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    settings.logs.mkdir(parents=True)
    settings.last_failure.touch()
    assert home.claim(settings) == settings.home
    assert home.remove(settings.home) == []
    assert not settings.home.exists()


def test_a_foreign_directory_of_logs_is_refused_and_left_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.logs.mkdir()
    settings.last_failure.touch()
    (settings.logs / "mine").touch()
    with pytest.raises(ClusterError, match="is not a cluster's home"):
        home.claim(settings)
    assert (settings.logs / "mine").exists()


@pytest.mark.row("S19")
@pytest.mark.parametrize("act", [home.claim, home.verify])
def test_roots_homes_and_links_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: object
) -> None:
    assert callable(act)
    monkeypatch.setenv("HOME", str(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    for path in (Path("/"), Path("/proc"), tmp_path, link):
        with pytest.raises(ClusterError, match=r"set it to (a directory|its target)"):
            act(Settings(home=path))
    assert [each.name for each in tmp_path.iterdir()] == ["link"]


def test_files_of_others_in_a_home_are_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    home.claim(settings)
    (settings.home / "notes").write_text("mine")
    assert home.remove(settings.home) == [str(settings.home / "notes")]
    assert (settings.home / "notes").read_text() == "mine"


def test_a_copied_home_is_refused(tmp_path: Path) -> None:
    one, two = Settings(home=tmp_path / "one"), Settings(home=tmp_path / "two")
    home.claim(one)
    one.home.rename(two.home)
    with pytest.raises(ClusterError, match=f"home of cluster {one.instance}"):
        home.verify(two)


def test_a_home_of_an_earlier_version_is_adopted(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    (tmp_path / "cluster.json").touch()
    (tmp_path / "logs").mkdir()
    home.claim(settings)
    assert home.verify(settings) == tmp_path


def test_what_the_patch_controller_has_is_removed_with_the_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    home.claim(settings)
    token = Layout.of(settings, 7).sink_token
    token.parent.mkdir()
    token.write_text("secret")
    assert home.remove(settings.home) == []
    assert not settings.home.exists()
