"""What the webhooks cost: 200 pods a second with and without them, before a real API server.

A figure wants a host that does nothing else: ``MONOPOD_FIGURES=1 pytest -s`` with this
file takes it, and prints how busy the host was.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector
from monopod.kube import Client, meta
from monopod.webhooks.manifests import admission_manifests
from tests.apiserver import ApiServer
from tests.framework.eventually import eventually
from tests.webhooks.conftest import Admission
from tests.webhooks.test_end_to_end import remove_profile

_PER_SECOND = 200
_SECONDS = 3
_ROUNDS = 2
_PROFILES, _SELECTORS = 10, 5
_WORST_RATIO = 5.0
"""Of the 99th percentiles; the load is made on the same host, and counts against both."""

pytestmark = [
    pytest.mark.api,
    pytest.mark.skipif(
        "MONOPOD_FIGURES" not in os.environ, reason="figures are taken by hand, on a quiet host"
    ),
]


@asynccontextmanager
async def _profiles(admin: Client, namespace: str) -> AsyncGenerator[None]:
    """Ten profiles of five selectors; only the last selector of the last one matches."""
    names = [f"latency-{number}-{namespace[-8:]}" for number in range(_PROFILES)]
    for name in names:
        selectors = [
            Selector(namespace=f"{namespace}-{name}", labels={"app": f"web-{number}*"})
            for number in range(_SELECTORS)
        ]
        if name == names[-1]:
            selectors[-1] = Selector(namespace=namespace, labels={"app": "web*"})
        spec = FargateProfileSpec(selectors=selectors)
        await admin.create(FargateProfile(metadata=ObjectMeta(name=name), spec=spec))
    try:
        yield
    finally:
        for name in names:
            await remove_profile(admin, name)


def _pod(name: str, namespace: str) -> Pod:
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, labels={"app": "web-0"}),
        spec=PodSpec(containers=[Container(name="main", image="x")]),
    )


async def _create(admin: Client, namespace: str, label: str) -> list[float]:
    """Create pods at a fixed rate, not waiting for earlier ones; return milliseconds for each."""
    begun = time.perf_counter()

    async def one(number: int) -> float:
        # From when it was due: what waits for a slow one counts as slow too.
        due = begun + number / _PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await admin.create(_pod(f"{label}-{number}", namespace))
        return (time.perf_counter() - due) * 1000

    taken = await asyncio.gather(*(one(number) for number in range(_PER_SECOND * _SECONDS)))
    for each in (await admin.list(Pod, namespace)).items:
        await admin.delete(Pod, meta(each).name or "", namespace, grace_period_s=0)
    return taken


async def _marked(admin: Client, namespace: str) -> bool:
    made = await admin.create(_pod("probe", namespace))
    await admin.delete(Pod, "probe", namespace, grace_period_s=0)
    return made.spec is not None and made.spec.schedulerName == "fargate-scheduler"


@pytest.mark.timeout(300)
async def test_webhooks_add_little_latency(
    api_server: ApiServer,
    admin: Client,
    namespace: str,
    registered: Admission,
    record_property: Callable[[str, object], None],
) -> None:
    hooks: list[dict[str, Any]] = [
        each
        for each in admission_manifests(api_server.certificates.pem, port=registered.port)
        if each["kind"].endswith("WebhookConfiguration")
    ]

    async def switch(*, on: bool) -> None:
        words = ("apply",) if on else ("delete",)
        done = api_server.kubectl(*words, "-f", "-", stdin=yaml.safe_dump_all(hooks))
        assert done.returncode == 0, done.stderr

        async def took_note() -> bool:
            return await _marked(admin, namespace) == on

        await eventually(took_note)

    taken: dict[bool, list[float]] = {True: [], False: []}
    async with _profiles(admin, namespace):
        await switch(on=True)
        try:
            await _create(admin, namespace, "warm")
            for number in range(_ROUNDS):
                for on in (False, True):
                    await switch(on=on)
                    taken[on] += await _create(admin, namespace, f"{number}-{on}".lower())
        finally:
            await switch(on=True)
    figures = {
        f"p{percent}_ms_{'with' if on else 'without'}": sorted(values)[len(values) * percent // 100]
        for on, values in taken.items()
        for percent in (50, 99)
    }
    figures["load"] = os.getloadavg()[0]
    figures["p99_ratio"] = figures["p99_ms_with"] / figures["p99_ms_without"]
    for name, value in figures.items():
        record_property(name, round(value, 2))
    print({name: round(value, 2) for name, value in figures.items()})
    assert figures["p99_ratio"] < _WORST_RATIO, figures
