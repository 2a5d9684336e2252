"""The rules that the API server enforces on PatchCampaigns."""

import uuid
from typing import Any

import pytest
import yaml

from tests.apiserver import ApiServer
from tests.crds.support import manifest, refusal

pytestmark = [pytest.mark.api, pytest.mark.row("S21")]

_WINDOW: dict[str, Any] = {"days": ["Sat", "Sun"], "start": "02:00", "duration": "4h"}


def _campaign(spec: dict[str, Any], name: str = "") -> dict[str, Any]:
    return manifest("PatchCampaign", name or f"pc-{uuid.uuid4().hex[:8]}", spec)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"before": "2026-11-24T00:00:00Z", "deadlineAfter": "72h", "maxUnavailable": 100},
        {"scheduledTerminationTime": "2026-11-24T00:00:00.5+01:00", "interval": "1h30m5s"},
        {"selector": {"namespaces": ["a", "b"], "profiles": ["fp"]}, "dryRun": True},
        {"window": _WINDOW},
        {"window": _WINDOW | {"timeZone": "Europe/Berlin", "duration": "168h"}},
    ],
)
def test_a_valid_campaign_is_accepted(api_server: ApiServer, spec: dict[str, Any]) -> None:
    assert refusal(api_server, "create", "--dry-run=server", of=_campaign(spec)) == ""


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"before": "tomorrow"}, "spec.before"),
        ({"maxUnavailable": 0}, "greater than or equal to 1"),
        ({"maxUnavailable": 101}, "less than or equal to 100"),
        ({"interval": "5"}, "spec.interval"),
        ({"interval": "-5s"}, "spec.interval"),
        ({"deadlineAfter": "3d"}, "spec.deadlineAfter"),
        (
            {"deadlineAfter": "72h", "scheduledTerminationTime": "2026-11-24T00:00:00Z"},
            "either scheduledTerminationTime or deadlineAfter, not both",
        ),
        ({"window": _WINDOW | {"days": ["Saturday"]}}, "Unsupported value"),
        ({"window": _WINDOW | {"days": []}}, "at least 1 items"),
        ({"window": _WINDOW | {"start": "24:00"}}, "spec.window.start"),
        ({"window": _WINDOW | {"duration": "0s"}}, "must be more than 0s and at most 168h"),
        ({"window": _WINDOW | {"duration": "169h"}}, "must be more than 0s and at most 168h"),
        ({"window": _WINDOW | {"timeZone": "Mars/Olympus"}}, "unknown time zone Mars/Olympus"),
        ({"selector": {"namespaces": ["a", "a"]}}, "Duplicate value"),
    ],
)
def test_an_invalid_campaign_is_refused(
    api_server: ApiServer, spec: dict[str, Any], why: str
) -> None:
    assert why in refusal(api_server, "create", "--dry-run=server", of=_campaign(spec))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"before": "2026-11-25T00:00:00Z"}, "spec.before"),
        ({"before": None}, "spec.before"),
        ({"imageVersion": "0011"}, "spec.imageVersion"),
        ({"selector": {"namespaces": ["b"]}}, "spec.selector"),
        ({"deadlineAfter": "73h"}, "pause the campaign instead"),
        ({"deadlineAfter": None}, "pause the campaign instead"),
        ({"dryRun": True}, "start another campaign"),
        ({"paused": True, "maxUnavailable": 5, "interval": "1m", "window": _WINDOW}, ""),
    ],
)
def test_what_owners_were_notified_of_is_immutable(
    api_server: ApiServer, change: dict[str, Any], why: str
) -> None:
    spec = {
        "before": "2026-11-24T00:00:00Z",
        "deadlineAfter": "72h",
        "selector": {"namespaces": ["a"]},
    }
    made = _campaign(spec)
    name = made["metadata"]["name"]
    assert refusal(api_server, "create", of=made) == ""
    try:
        patch = f"--patch={yaml.safe_dump({'spec': change})}"
        said = refusal(api_server, "patch", "patchcampaign", name, "--type=merge", patch)
        assert why in said
        assert bool(said) is bool(why)
    finally:
        api_server.kubectl("delete", "patchcampaign", name)


def test_campaigns_are_readable(api_server: ApiServer) -> None:
    made = _campaign({})
    name = made["metadata"]["name"]
    assert refusal(api_server, "create", of=made) == ""
    status = {
        "phase": "Running",
        "scheduledTerminationTime": "2026-11-27T00:00:00Z",
        "counts": {"subject": 12, "waiting": 4, "replaced": 5, "blocked": 2, "terminated": 1},
    }
    patch = f"--patch={yaml.safe_dump({'status': status})}"
    api_server.kubectl(
        "patch", "patchcampaign", name, "--subresource=status", "--type=merge", patch
    )
    header, row = api_server.kubectl("get", "patchcampaign", name).stdout.splitlines()
    api_server.kubectl("delete", "patchcampaign", name)
    assert header.split() == [
        "NAME", "PHASE", "SUBJECT", "WAITING", "REPLACED", "BLOCKED", "TERMINATED", "DEADLINE",
        "AGE",
    ]  # fmt: skip
    assert row.split()[:-1] == [
        name, "Running", "12", "4", "5", "2", "1", "2026-11-27T00:00:00Z"
    ]  # fmt: skip
