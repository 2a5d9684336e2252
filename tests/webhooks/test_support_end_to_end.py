"""Warnings as kubectl shows them: a real API server calls the real process."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from monopod.kube import Client
from tests.apiserver import ApiServer
from tests.webhooks.conftest import Admission
from tests.webhooks.test_end_to_end import make_pod, make_profile

pytestmark = pytest.mark.api

_SAID = "Pod not supported on Fargate: fields not supported: HostNetwork"


def _deployment(namespace: str, **spec: Any) -> str:
    labels = {"app": "web"}
    return yaml.safe_dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "x"}], **spec},
                },
            },
        }
    )


async def _kubectl(server: ApiServer, *words: str, stdin: str | None = None) -> tuple[int, str]:
    done = await asyncio.to_thread(server.kubectl, *words, stdin=stdin)
    return done.returncode, done.stderr


@pytest.mark.row("S3")
@pytest.mark.row("S11")
async def test_an_unsupported_deployment_is_created_with_a_warning(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    profile = await make_profile(admin, namespace)
    status, said = await _kubectl(
        api_server, "apply", "-f", "-", stdin=_deployment(namespace, hostNetwork=True)
    )
    assert status == 0
    assert f"Warning: {_SAID}\n" in said
    assert f"Deployment web: its pods match Fargate profile {profile}" in said
    status, said = await _kubectl(api_server, "apply", "-f", "-", stdin=_deployment(namespace))
    assert (status, said) == (0, "")


@pytest.mark.row("S11")
async def test_pods_are_warned_about_after_they_are_marked(
    registered: Admission, api_server: ApiServer, admin: Client, privileged_namespace: str
) -> None:
    namespace = privileged_namespace
    manifest = yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"hostNetwork": True, "containers": [{"name": "main", "image": "x"}]},
        }
    )
    status, said = await _kubectl(api_server, "create", "--dry-run=server", "-f", "-",
                                  stdin=manifest)  # fmt: skip
    assert (status, said) == (0, ""), "a pod of a worker node is not reviewed"
    await make_profile(admin, namespace)
    status, said = await _kubectl(api_server, "create", "-f", "-", stdin=manifest)
    assert (status, said) == (0, f"Warning: {_SAID}\n")


@pytest.mark.row("S10")
async def test_privileged_debuggers_are_refused_by_the_api_server(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    await make_profile(admin, namespace)
    pod = await make_pod(admin, namespace)
    name = (pod.metadata.name if pod.metadata else None) or ""
    words = ("-n", namespace, "debug", name, "--image=x", "--attach=false")
    status, said = await _kubectl(api_server, *words, "--profile=sysadmin")
    assert status != 0
    assert "invalid SecurityContext fields: Privileged" in said
    status, said = await _kubectl(api_server, *words)
    assert status == 0, said


async def test_in_enforce_mode_kubectl_fails(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    await make_profile(admin, namespace)
    registered.end(signal.SIGTERM)
    registered.start(MONOPOD_WEBHOOKS_MODE="enforce")
    try:
        status, said = await _kubectl(
            api_server, "apply", "-f", "-", stdin=_deployment(namespace, hostNetwork=True)
        )
    finally:
        registered.end(signal.SIGTERM)
        registered.start()
    assert status != 0
    assert f"denied the request: {_SAID}" in said


async def test_requests_do_not_wait_for_a_webhook_that_hangs(
    registered: Admission, api_server: ApiServer, admin: Client, namespace: str
) -> None:
    await make_profile(admin, namespace)
    registered.send(signal.SIGSTOP)
    before = datetime.now(UTC)
    try:
        status, _ = await _kubectl(
            api_server, "create", "-f", "-", stdin=_deployment(namespace, hostNetwork=True)
        )
    finally:
        registered.send(signal.SIGCONT)
    assert status == 0
    assert datetime.now(UTC) - before < timedelta(seconds=5)
