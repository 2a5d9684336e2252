"""``python -m monopod.webhooks``: the webhooks' process."""

import asyncio
import ssl
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api.resources import FargateProfile
from monopod.identity.serving import ServingCertificate
from monopod.kube import Client, Daemon, EventRecorder, Informer, connect, make_key, serve
from monopod.settings import Settings
from monopod.webhooks.missed_pods import MissedPods, candidates
from monopod.webhooks.networks import NetworkWebhook
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.settings import WebhookSettings
from monopod.webhooks.target_health import TargetHealthWebhook
from monopod.webhooks.webhook import Webhook

_NAME: Final = "monopod-webhooks"
_ADDRESS: Final = "127.0.0.1"
_GRACE_S: Final = 5.0
"""The webhooks' timeout at the API server."""


class _Profiles:
    """Profiles from the informer, or from the API server directly."""

    def __init__(self, client: Client, informer: Informer[FargateProfile]) -> None:
        self._client = client
        self._informer = informer

    def known(self) -> Sequence[FargateProfile]:
        return self._informer.items()

    async def read(self) -> Sequence[FargateProfile]:
        return (await self._client.list(FargateProfile)).items


class _Accounts:
    """Service accounts from the informer, or from the API server directly."""

    def __init__(self, client: Client, informer: Informer[ServiceAccount]) -> None:
        self._client = client
        self._informer = informer

    def known(self, namespace: str, name: str) -> ServiceAccount | None:
        return self._informer.get(make_key(name, namespace))

    async def read(self, namespace: str, name: str) -> ServiceAccount:
        return await self._client.get(ServiceAccount, name, namespace)


async def _run(service: Daemon) -> None:
    own = WebhookSettings()
    identity = own.identity or Settings().identities / "webhooks"
    certificate = ServingCertificate(identity / "serving.crt", identity / "serving.key")
    async with connect(identity / "kubeconfig", _NAME) as client, asyncio.TaskGroup() as group:
        profiles = Informer(client, FargateProfile)
        accounts = Informer(client, ServiceAccount)
        classes = Informer(client, RuntimeClass)
        pods = candidates(client)
        events = EventRecorder(client, _NAME)
        MissedPods(pods, profiles, events)
        for work in (
            profiles.run(),
            accounts.run(),
            classes.run(),
            pods.run(),
            events.run(),
        ):
            group.create_task(work)
        # Serving before the informers are synced would leave matching pods unmarked.
        await profiles.synced()
        await accounts.synced()
        await classes.synced()
        region = Settings().region if own.tell_region else ""
        webhook = Webhook(
            _Profiles(client, profiles),
            roles=RoleWebhook(_Accounts(client, accounts), region),
            networks=NetworkWebhook(client),
            targets=TargetHealthWebhook(client),
            classes=classes.get,
            mode=own.mode,
            in_turn_of=Settings().cluster if own.one_profile_at_a_time else None,
        )
        async with _listening(webhook.application(), own.port, certificate.context()):
            service.ready()
            await asyncio.Event().wait()


@asynccontextmanager
async def _listening(
    application: web.Application, port: int, context: ssl.SSLContext
) -> AsyncGenerator[None]:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GRACE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, _ADDRESS, port, ssl_context=context)
        await site.start()
        yield
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(serve(_NAME, _run, metrics_port=WebhookSettings().metrics_port))
