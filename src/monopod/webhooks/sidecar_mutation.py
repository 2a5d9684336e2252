"""The patch that adds sidecars to a new pod."""

from collections.abc import Iterator, Sequence
from typing import Any

from monopod.api import keys
from monopod.fargate.sidecars import Merge, PodShape, Sidecars, merge
from monopod.webhooks.pod_view import PodView
from monopod.webhooks.review import Operation, append, escaped
from monopod.webhooks.web_identity import SKIPPED_CONTAINERS


def sidecar_patch(pod: PodView, chosen: Sequence[Sidecars]) -> list[Operation]:
    """Return the operations that add what a pod does not carry yet.

    Args:
        pod: As received.
        chosen: What the injections that select it add, in any order.
    """
    if not chosen:
        return []
    merged = merge(_shape(pod), chosen)
    return [*_containers(pod, merged), *_resources(merged), *_annotations(pod, merged)]


def _shape(pod: PodView) -> PodShape:
    spec = pod.spec
    every = (*(spec.initContainers or ()), *(spec.containers or ()))
    whole = spec.resources
    return PodShape(
        containers=frozenset(each.name for each in every),
        volumes=frozenset(each.name for each in spec.volumes or ()),
        carried=pod.annotations.get(keys.SIDECARS_ANNOTATION, ""),
        requests=whole.requests if whole else None,
        limits=whole.limits if whole else None,
    )


def _containers(pod: PodView, merged: Merge) -> Iterator[Operation]:
    present = pod.spec.initContainers
    if merged.containers and not present:
        yield {"op": "add", "path": "/spec/initContainers", "value": merged.containers}
    elif present:
        for index, container in enumerate(merged.containers):
            yield {"op": "add", "path": f"/spec/initContainers/{index}", "value": container}
    if merged.volumes:
        yield from append("/spec/volumes", pod.spec.volumes, merged.volumes)


def _resources(merged: Merge) -> Iterator[Operation]:
    for kind, amounts in (("requests", merged.requests), ("limits", merged.limits)):
        for name, amount in amounts.items():
            path = f"/spec/resources/{kind}/{escaped(name)}"
            yield {"op": "replace", "path": path, "value": amount}


def _annotations(pod: PodView, merged: Merge) -> Iterator[Operation]:
    now = pod.annotations
    wanted: dict[str, str] = {
        keys.SIDECARS_ANNOTATION: merged.carried_text,
        keys.SIDECARS_LEFT_OUT_ANNOTATION: merged.left_out_text,
    }
    if merged.without_credentials:
        skipped = [each for each in now.get(SKIPPED_CONTAINERS, "").split(",") if each.strip()]
        wanted[SKIPPED_CONTAINERS] = ",".join([*skipped, *merged.without_credentials])
    changed = {name: text for name, text in wanted.items() if text and now.get(name) != text}
    if changed and pod.metadata.annotations is None:
        yield {"op": "add", "path": "/metadata/annotations", "value": changed}
        return
    for name, text in changed.items():
        yield _operation("add", name, text)
    for name, text in wanted.items():
        if not text and name in now:
            yield _operation("remove", name)


def _operation(op: str, annotation: str, text: str | None = None) -> dict[str, Any]:
    value = {} if text is None else {"value": text}
    return {"op": op, "path": f"/metadata/annotations/{escaped(annotation)}", **value}
