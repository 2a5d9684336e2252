"""Asks the API server whether it would accept pods with some sidecars, without creating any.

A PodTemplate is validated as pods are, and nothing runs it: neither quotas nor webhooks of pods
have a say, so the answer depends on the sidecars alone.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from lightkube.models.meta_v1 import ObjectMeta

from monopod.api.sidecar_injections import RawPodTemplate
from monopod.fargate.sidecars import Sidecars
from monopod.kube import Client, InvalidError

_INIT: Final = re.compile(r"template\.spec\.initContainers\[(\d+)\]")
_LEAD: Final = re.compile(r'^PodTemplate "[^"]*" is invalid: ')
_MAIN: Final = {"name": "main-container-of-the-pod", "image": "main"}


async def rehearse(
    client: Client, namespace: str, template: Mapping[str, Any], sidecars: Sidecars
) -> str | None:
    """Return why the API server would refuse pods with these sidecars; None if it would not.

    Args:
        client: Creates the PodTemplate, in a dry run.
        namespace: Where.
        template: What the sidecars were compiled from; the answer names its fields.
        sidecars: The sidecars.

    Raises:
        KubeError: The API server did not answer.
    """
    spec = {
        "containers": [_MAIN],
        "initContainers": list(sidecars.containers),
        "volumes": list(sidecars.volumes),
    }
    made = RawPodTemplate(
        metadata=ObjectMeta(generateName="sidecars-", namespace=namespace), template={"spec": spec}
    )
    try:
        await client.create(made, dry_run=True)
    except InvalidError as error:
        first = len(template["spec"].get("initContainers") or ())

        def named(found: re.Match[str]) -> str:
            index = int(found[1])
            field = "initContainers" if index < first else "containers"
            return f"template.spec.{field}[{index if index < first else index - first}]"

        return _INIT.sub(named, _LEAD.sub("", error.message))
    return None
