"""Requests that make no sense: each is answered, none fails, and nothing grows."""

import gc
import json
import random
import time
import tracemalloc

import aiohttp
import pytest
from aiohttp import web
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount

from monopod.webhooks.manifests import PODS_PATH, PROFILES_PATH, ROLES_PATH, SUPPORT_PATH
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.webhook import Webhook
from tests.apiserver import LOOPBACK
from tests.framework import fuzz
from tests.webhooks.support import Profiles, pod, profile, review

pytestmark = pytest.mark.unit

_REQUESTS = fuzz.inputs(3_000)
_WARM = 1_000
_GROWTH_BYTES = 2 << 20


class _Accounts:
    """Every account has a role."""

    def known(self, namespace: str, name: str) -> ServiceAccount | None:
        annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/reader"}
        metadata = ObjectMeta(name=name, namespace=namespace, annotations=annotations)
        return ServiceAccount(metadata=metadata)

    async def read(self, namespace: str, name: str) -> ServiceAccount:
        raise AssertionError((namespace, name))


def _malformed(luck: random.Random) -> bytes:
    """An AdmissionReview with some fields gone or replaced, or with its bytes spoilt."""
    body = fuzz.spoil(review(pod(labels={"app": "web"}, annotations={"a": "b"})), luck)
    return fuzz.spoil_bytes(json.dumps(body).encode(), luck)


@pytest.mark.row("S2")
async def test_malformed_requests_are_answered() -> None:
    chance = fuzz.chance()
    webhook = Webhook(
        Profiles(profile("fp", "*"), profile("other", "shop", app="web")),
        roles=RoleWebhook(_Accounts()),
    )
    runner = web.AppRunner(webhook.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    before, started = 0, time.monotonic()
    statuses: set[int] = set()
    tracemalloc.start()
    try:
        async with aiohttp.ClientSession() as session:
            for number in range(_REQUESTS):
                path = chance.choice((PODS_PATH, PROFILES_PATH, ROLES_PATH, SUPPORT_PATH))
                async with session.post(url + path, data=_malformed(chance)) as answer:
                    await answer.read()
                statuses.add(answer.status)
                if number == _WARM:
                    gc.collect()
                    before, _ = tracemalloc.get_traced_memory()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await runner.cleanup()
    print(
        f"\nwebhooks: {_REQUESTS} inputs in {time.monotonic() - started:.0f} s;"
        f" {before >> 10} KiB after {_WARM}, {after >> 10} KiB at the end"
    )
    assert statuses == {200, 400}
    assert after - before < _GROWTH_BYTES
