"""Namespaces in which pods can be created though no controller runs."""

import uuid
from collections.abc import Mapping

from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, ServiceAccount

from monopod.kube import Client


async def new_namespace(client: Client, labels: Mapping[str, str] | None = None) -> str:
    """Create a namespace with a service account; returns its name.

    Args:
        client: An administrator.
        labels: Its labels. A label that is added later reaches admission some time later.
    """
    name = f"test-{uuid.uuid4().hex[:12]}"
    metadata = ObjectMeta(name=name, labels=dict(labels) if labels else None)
    await client.create(Namespace(metadata=metadata))
    await client.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace=name)))
    return name
