"""Ten thousand requests that make no sense: each is answered, none fails, and nothing grows."""

import gc
import json
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ServiceAccount

from monopod.webhooks.manifests import PODS_PATH, PROFILES_PATH, ROLES_PATH, SUPPORT_PATH
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.webhook import Webhook
from tests.apiserver import LOOPBACK
from tests.webhooks.support import Profiles, pod, profile, review

pytestmark = pytest.mark.unit

_REQUESTS = 10_000
_WARM = 1_000
_GROWTH_BYTES = 2 << 20
_STRANGE: list[Any] = [None, True, -1, 2**70, 1.5, "", "\x00", "é" * 300, [], [[]], {}, {"a": {}}]


class _Accounts:
    """Every account has a role."""

    def known(self, namespace: str, name: str) -> ServiceAccount | None:
        annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/reader"}
        metadata = ObjectMeta(name=name, namespace=namespace, annotations=annotations)
        return ServiceAccount(metadata=metadata)

    async def read(self, namespace: str, name: str) -> ServiceAccount:
        raise AssertionError((namespace, name))


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries: Any = ()
    if isinstance(value, dict):
        entries = value.items()  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
    elif isinstance(value, list):
        entries = enumerate(value)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    for key, inner in entries:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _malformed(chance: random.Random) -> bytes:
    """An AdmissionReview with some fields gone or replaced, or with its bytes spoilt."""
    body: Any = review(pod(labels={"app": "web"}, annotations={"a": "b"}))
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(list(_places(body)))
        place = body
        for step in path[:-1]:
            place = place[step]
        if chance.random() < 0.3:
            del place[path[-1]]
        else:
            place[path[-1]] = chance.choice(_STRANGE)
        if not body:
            break
    spoilt = bytearray(json.dumps(body).encode())
    if chance.random() < 0.3:
        for _ in range(chance.randint(1, 8)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
    if chance.random() < 0.1:
        del spoilt[chance.randrange(len(spoilt)) :]
    return bytes(spoilt)


@pytest.mark.row("S2")
async def test_ten_thousand_malformed_requests() -> None:
    chance = random.Random(20261123)  # noqa: S311 - to be the same every time
    webhook = Webhook(
        Profiles(profile("fp", "*"), profile("other", "shop", app="web")),
        roles=RoleWebhook(_Accounts()),
    )
    runner = web.AppRunner(webhook.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    url = f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    before = 0
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
    assert statuses == {200, 400}
    assert after - before < _GROWTH_BYTES
