"""Runs the webhooks' process: informers first, then the server, then readiness.

Serving before the informers are synced would leave matching pods unmarked.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from lightkube.resources.core_v1 import Namespace, Pod, ServiceAccount
from lightkube.resources.node_v1 import RuntimeClass

from monopod.api.resources import FargateProfile
from monopod.api.sidecar_injections import (
    AnyInjection,
    ClusterSidecarInjection,
    SidecarInjection,
)
from monopod.kube import Client, Informer, Manager, labels_of, make_key
from monopod.settings import Settings
from monopod.util.https_server import HttpsServer
from monopod.webhooks.missed_pods import CANDIDATES, MissedPods
from monopod.webhooks.networks import NetworkWebhook
from monopod.webhooks.roles import RoleWebhook
from monopod.webhooks.secret_access import SecretAccessWebhook
from monopod.webhooks.settings import WebhookSettings
from monopod.webhooks.sidecar_index import EVERYWHERE, SidecarIndex
from monopod.webhooks.sidecar_injections import SidecarInjectionWebhook
from monopod.webhooks.sidecar_lookup import SidecarLookup
from monopod.webhooks.target_health import TargetHealthWebhook
from monopod.webhooks.webhook import Webhook

COMPONENT: Final = "monopod-webhooks"


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


class _Injections:
    """What the caches of injections and namespaces may lack, from the API server directly."""

    def __init__(self, client: Client, namespaces: Informer[Namespace]) -> None:
        self._client = client
        self._namespaces = namespaces

    async def read(self, namespace: str) -> Sequence[AnyInjection]:
        if namespace == EVERYWHERE:
            return (await self._client.list(ClusterSidecarInjection)).items
        return (await self._client.list(SidecarInjection, namespace)).items

    async def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        known = self._namespaces.get(namespace)
        # It may have been created just before this pod.
        return labels_of(known or await self._client.get(Namespace, namespace))


async def run(
    client: Client,
    settings: Settings,
    own: WebhookSettings,
    context: ssl.SSLContext,
    *,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the webhooks until cancelled.

    Args:
        client: As ``monopod:webhooks``.
        settings: The cluster's name and region.
        own: The webhooks' port and policies.
        context: TLS context with the webhooks' certificate.
        ready: Called once the server accepts connections.

    Raises:
        OSError: The port is taken.
    """
    manager = Manager(client)
    profiles = manager.informer(FargateProfile)
    MissedPods(manager.informer(Pod, fields=CANDIDATES), profiles, manager.recorder(COMPONENT))
    index = SidecarIndex(
        manager.informer(SidecarInjection), manager.informer(ClusterSidecarInjection)
    )
    sidecars = SidecarLookup(index, _Injections(client, manager.informer(Namespace)))
    webhook = Webhook(
        _Profiles(client, profiles),
        roles=RoleWebhook(
            _Accounts(client, manager.informer(ServiceAccount)),
            settings.region if own.inject_region else "",
        ),
        networks=NetworkWebhook(client),
        targets=TargetHealthWebhook(client),
        secrets=SecretAccessWebhook(client),
        sidecars=sidecars,
        injections=SidecarInjectionWebhook(client, index, sidecars),
        classes=manager.informer(RuntimeClass).get,
        mode=own.mode,
        one_profile_at_a_time_in=settings.cluster if own.one_profile_at_a_time else None,
    )
    server = HttpsServer(webhook.application(), own.address, own.port, context)
    manager.add(server.run, first_pass=server.listening)
    await manager.run(ready)
