"""AWS's rule of one profile at a time, where it is wanted."""

import json
import signal
from typing import Any

import pytest
from msgspec import convert

from monopod.api.resources import FargateProfile
from monopod.kube import Client, ForbiddenError
from monopod.webhooks.webhook import Webhook
from tests.webhooks.conftest import Admission
from tests.webhooks.support import Profiles, profile, profile_review, response
from tests.webhooks.test_end_to_end import make_profile


def _in_status(name: str, word: str) -> FargateProfile:
    made = profile(name, "shop")
    return convert({"metadata": made.metadata, "spec": made.spec, "status": {"status": word}},
                   FargateProfile)  # fmt: skip


async def asked(webhook: Webhook, name: str, operation: str = "CREATE") -> dict[str, Any]:
    body = profile_review(name, operation=operation)
    return response(await webhook.answer(json.dumps(body).encode()))


@pytest.mark.unit
@pytest.mark.row("S2")
async def test_off_unless_wanted() -> None:
    webhook = Webhook(Profiles(_in_status("other", "CREATING")))
    for operation in ("CREATE", "DELETE"):
        assert (await asked(webhook, "fp", operation))["allowed"]


@pytest.mark.unit
@pytest.mark.row("S2")
async def test_two_created_at_once_are_one_too_many() -> None:
    webhook = Webhook(Profiles(_in_status("old", "ACTIVE")), one_profile_at_a_time_in="prod")
    assert (await asked(webhook, "first"))["allowed"]
    refused = await asked(webhook, "second")
    assert not refused["allowed"]
    assert refused["status"] == {
        "code": 403,
        "reason": "Forbidden",
        "message": "Cannot create Fargate Profile second because cluster prod currently has"
        " Fargate profile first in status CREATING",
    }
    assert (await asked(webhook, "first"))["allowed"], "a profile does not block its own retry"


@pytest.mark.unit
@pytest.mark.row("S2")
async def test_what_the_api_server_has_counts_and_not_what_was_heard() -> None:
    known = Profiles(stored=[_in_status("other", "DELETING")])
    refused = await asked(Webhook(known, one_profile_at_a_time_in="prod"), "fp", "DELETE")
    assert refused["status"]["message"].startswith("Cannot delete Fargate Profile fp because")


@pytest.mark.api
@pytest.mark.row("S2")
async def test_the_api_server_s_clients_get_the_message(
    registered: Admission, admin: Client, namespace: str
) -> None:
    registered.end(signal.SIGTERM)
    registered.start(MONOPOD_WEBHOOKS_ONE_PROFILE_AT_A_TIME="true")
    try:
        # No scheduler runs here that would make it ACTIVE: other tests' profiles may be in the way.
        with pytest.raises(ForbiddenError, match="in status CREATING"):
            for _ in range(2):
                await make_profile(admin, namespace)
    finally:
        registered.end(signal.SIGTERM)
        registered.start()
