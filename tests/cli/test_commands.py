"""The command line as a user meets it: output, streams and exit status."""

import datetime as dt
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from monopod.cli import COMMANDS
from monopod.controlplane import state
from monopod.controlplane.identities import identities
from monopod.controlplane.layout import Layout
from monopod.identity.access_key import read_keys
from monopod.identity.store import IdentityStore
from monopod.settings import Settings

MONOPOD = Path(sys.executable).with_name("monopod")


def _monopod(
    home: Path, *words: str, uid: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MONOPOD, *words],
        env={**os.environ, "MONOPOD_HOME": str(home), "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        user=uid,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home of a cluster, with the files that commands need without asking the cluster."""
    known = state.State(transit=3, components=str(tmp_path / "components"))
    home = tmp_path / "home"
    home.mkdir()
    state.save(home, known)
    return home


@pytest.mark.unit
def test_the_help_names_every_command(tmp_path: Path) -> None:
    done = _monopod(tmp_path, "--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"│ {name} " in done.stdout


@pytest.mark.unit
@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("kubeconfig",),
        ("kubectl", "get", "pods"),
        ("image", "push", "x"),
        ("image", "list"),
        ("image", "remove", "app:1"),
        ("image", "prune"),
        ("env", "aws"),
        ("access-key", "create", "alice"),
        ("addon", "add", "vertical-pod-autoscaler"),
        ("addon", "remove", "vertical-pod-autoscaler"),
        ("access-key", "list"),
        ("patch", "status"),
        ("patch", "start"),
        ("host", "status"),
    ],
)
def test_without_a_cluster_the_error_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    home = tmp_path / "none"
    done = _monopod(home, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: there is no cluster in {home}: `monopod up` makes one\n"
    assert not home.exists()


@pytest.mark.unit
def test_a_bad_setting_is_named_by_its_variable(tmp_path: Path) -> None:
    done = _monopod(tmp_path, "kubeconfig", MONOPOD_REGION="Here")
    assert done.returncode == 1
    assert done.stderr.startswith("error: MONOPOD_REGION: String should match")
    done = _monopod(tmp_path, "up", MONOPOD_LOG_LEVEL="chatty")
    said = "error: MONOPOD_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.unit
def test_a_damaged_state_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").mkdir()
    state_file = tmp_path / "cluster.json"
    done = _monopod(tmp_path, "kubeconfig")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(state_file) in done.stderr


@pytest.mark.unit
def test_kubeconfig_prints_only_a_path(home: Path) -> None:
    done = _monopod(home, "kubeconfig")
    assert done.stdout == f"{home}/identities/admin/kubeconfig\n"


@pytest.mark.unit
def test_kubectl_gets_all_arguments_and_the_credentials(home: Path, tmp_path: Path) -> None:
    program = tmp_path / "components" / "kubectl"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$0|$KUBECONFIG|$*"\nexit 7\n')
    program.chmod(0o700)
    said = f"|{home}/identities/admin/kubeconfig|"
    for words, arrived in (
        (["--", "get", "pods", "-o", "wide"], "get pods -o wide"),
        (["get", "pods", "-A"], "get pods -A"),
        (["--", "exec", "web", "--", "ls", "--help"], "exec web -- ls --help"),
        (["--help"], "--help"),
    ):
        done = _monopod(home, "kubectl", *words)
        assert done.returncode == 7, done.stderr
        assert done.stdout.rstrip("\n").endswith(said + arrived)


@pytest.mark.unit
def test_logs_are_shown_and_their_names_listed(home: Path) -> None:
    for name, text in (("logs/etcd", "one\ntwo\n"), ("machines/mvm-0123456789/console", "boot\n")):
        directory = home / name
        directory.mkdir(parents=True)
        (directory / "current").write_text(text)
    assert _monopod(home, "logs", "etcd").stdout == "one\ntwo\n"
    assert _monopod(home, "logs", "etcd", "-n", "1").stdout == "two\n"
    assert _monopod(home, "logs", "mvm-0123456789").stdout == "boot\n"
    for name in ("nothing", "../logs/etcd", ""):
        done = _monopod(home, "logs", name)
        assert done.returncode == 1
        assert done.stderr.endswith("there are: etcd, mvm-0123456789\n")


@pytest.mark.kernel
@pytest.mark.parametrize("command", ["up", "down"])
def test_only_root_starts_and_stops_a_cluster(tmp_path: Path, command: str) -> None:
    if not _reachable(MONOPOD):
        pytest.skip("the interpreter is in a directory that only root can enter")
    tmp_path.chmod(0o711)
    done = _monopod(tmp_path / "home", command, uid=65534)
    assert done.returncode == 1
    assert "must run as root" in done.stderr
    assert not (tmp_path / "home").exists()


def _reachable(path: Path) -> bool:
    places = (path, *path.parents, *Path(os.path.realpath(sys.executable)).parents)
    return all(place.stat().st_mode & 0o001 for place in places)


@pytest.mark.unit
def test_preflight_errors_come_before_any_change(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 90)
    done = _monopod(home, "up")
    assert done.returncode == 1
    assert "is too long" in done.stderr
    assert not home.exists()


@pytest.fixture
def furnished(home: Path) -> Path:
    """The same home with identities."""
    layout = Layout.of(Settings(home=home), 3)
    IdentityStore(layout.identities).fill(identities(layout), dt.datetime.now(dt.UTC))
    return home


def _exports(text: str) -> dict[str, str]:
    words = (shlex.split(line) for line in text.splitlines() if line.startswith("export "))
    return dict(variable.split("=", 1) for _, variable in words)


@pytest.mark.kernel
def test_env_aws_exports_all_that_clients_need(furnished: Path) -> None:
    done = _monopod(furnished, "env", "aws", MONOPOD_REGION="here-1")
    exported = _exports(done.stdout)
    key_id, secret = (
        exported.pop(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
    )
    assert exported == {
        "AWS_ENDPOINT_URL_EKS": "https://100.127.3.6:6444",
        "AWS_CA_BUNDLE": f"{furnished}/identities/admin/ca.crt",
        "AWS_DEFAULT_REGION": "here-1",
        "AWS_REGION": "here-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    held = read_keys(furnished / "identities" / "eksapi" / "access-keys.sealed")
    assert (held[key_id].secret, held[key_id].user) == (secret, "monopod:admin")


@pytest.mark.kernel
def test_access_keys_come_and_go(furnished: Path) -> None:
    done = _monopod(furnished, "access-key", "create", "alice", "--group", "dev", "--group", "ops")
    made = _exports(done.stdout)
    key_id, secret = made["AWS_ACCESS_KEY_ID"], made["AWS_SECRET_ACCESS_KEY"]
    path = furnished / "identities" / "eksapi" / "access-keys.sealed"
    key = read_keys(path)[key_id]
    assert (key.secret, key.user, key.groups) == (secret, "alice", ("dev", "ops"))
    listed = _monopod(furnished, "access-key", "list").stdout
    assert [line.split() for line in listed.splitlines()[1:]] == [[key_id, "alice", "dev,", "ops"]]
    assert secret not in listed
    assert _monopod(furnished, "access-key", "delete", key_id).returncode == 0
    assert key_id not in read_keys(path)
    again = _monopod(furnished, "access-key", "delete", key_id)
    assert (again.returncode, again.stdout) == (1, "")
    assert (
        again.stderr == f"error: there is no access key {key_id}: see `monopod access-key list`\n"
    )
