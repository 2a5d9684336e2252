"""The admission process as it runs in a cluster, in front of the tests' API server."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from monopod.controlplane.manifests import read
from monopod.webhooks.manifests import NAME, admission_manifests
from tests.apiserver import LOOPBACK, ApiServer, free_ports

_START_TIMEOUT_S: Final = 30.0
_EFFECT_TIMEOUT_S: Final = 20.0


class Admission:
    """``python -m monopod.webhooks``, started and stopped as a supervisor does."""

    def __init__(self, server: ApiServer, directory: Path) -> None:
        self.port, self.metrics_port = free_ports(2)
        self._directory = directory
        self._child: subprocess.Popen[bytes] | None = None
        config = server.kubeconfig("monopod:webhooks")
        (directory / "kubeconfig").symlink_to(config)
        certificate, key = server.certificates.issue("admission", (), LOOPBACK)
        (directory / "serving.crt").write_bytes(certificate)
        (directory / "serving.key").write_bytes(key)

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    def start(self, **settings: str) -> None:
        """Start it and wait until it says that it is ready."""
        reader, writer = os.pipe()
        environment = dict(os.environ) | {
            "MONOPOD_WEBHOOKS_IDENTITY": str(self._directory),
            "MONOPOD_WEBHOOKS_PORT": str(self.port),
            "MONOPOD_WEBHOOKS_METRICS_PORT": str(self.metrics_port),
            "NOTIFY_FD": str(writer),
            **settings,
        }
        with (self._directory / "log").open("ab") as log:
            self._child = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "monopod.webhooks"],
                env=environment,
                pass_fds=(writer,),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        os.close(writer)
        readable, _, _ = select.select([reader], [], [], _START_TIMEOUT_S)
        said = os.read(reader, 1) if readable else b""
        os.close(reader)
        assert said == b"\n", self.log

    def send(self, number: signal.Signals) -> subprocess.Popen[bytes]:
        """Send it a signal, and return it."""
        assert self._child is not None
        self._child.send_signal(number)
        return self._child

    def end(self, number: signal.Signals) -> int:
        """Send it a signal, wait for its end, and return its exit status."""
        status = self.send(number).wait(10)
        self._child = None
        return status

    @property
    def running(self) -> bool:
        return self._child is not None


def _kubectl(server: ApiServer, *words: str, of: list[Any] | None = None) -> str:
    done = server.kubectl(*words, stdin=None if of is None else yaml.safe_dump_all(of))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def registered(
    api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Admission]:
    """The process running and registered, the policies in force."""
    admission = Admission(api_server, tmp_path_factory.mktemp("admission"))
    ours = admission_manifests(api_server.certificates.pem, port=admission.port)
    _kubectl(api_server, "apply", "-f", "-", of=[*read("rbac"), *ours])
    try:
        admission.start()
        _await_effect(api_server)
        yield admission
    finally:
        # The server goes on to serve other tests, which make pods and profiles as they please. It
        # may call the process for a moment after the webhooks are deleted.
        _kubectl(api_server, "delete", "--ignore-not-found", "--wait=false", "-f", "-", of=ours)
        if admission.running:
            admission.end(signal.SIGKILL)


def _await_effect(server: ApiServer) -> None:
    """Wait until the API server has taken note of the webhook and of the policies."""
    opted_in: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "probe",
            "namespace": "kube-system",
            "labels": {"eks.amazonaws.com/fargate-profile": "none-of-this-name"},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "x"}],
        },
    }
    placed = opted_in | {"spec": {**opted_in["spec"], "nodeName": "fargate-ip-1"}}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": "kube-system"},
    }
    _kubectl(server, "apply", "-f", "-", of=[account])
    deadline = time.monotonic() + _EFFECT_TIMEOUT_S
    said = ""
    while time.monotonic() < deadline:
        marked = server.kubectl(
            "create", "--dry-run=server", "-o", "jsonpath={.spec.schedulerName}", "-f", "-",
            stdin=yaml.safe_dump(opted_in),
        )  # fmt: skip
        refused = server.kubectl(
            "create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(placed)
        )
        said = marked.stdout + marked.stderr + refused.stderr
        if marked.stdout == "fargate-scheduler" and "belongs to one Fargate pod" in refused.stderr:
            return
    raise AssertionError(f"{NAME} is without effect: {said}")
