"""The pod that is started repeatedly, on either kind of node, with its namespace and profile."""

from typing import Final

from lightkube.models import core_v1 as models
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Pod

from monopod.api import keys
from monopod.api.resources import FargateProfile, FargateProfileSpec, Selector
from monopod.bench.baseline_node.node import LABEL as BASELINE
from monopod.bench.phases import Kind, Subject
from monopod.node.guest.pause import REFERENCE

IMAGE: Final = REFERENCE
"""Baked into every machine and imported into the baseline node: no start pulls it."""
LABEL: Final = "monopod.dev/bench"
"""Label of a run's objects, by which the next run finds those of one that was killed."""
LABELS: Final = {LABEL: "true"}
ROLE: Final = "arn:aws:iam::000000000000:role/monopod-bench"
"""Execution role of the pods: an ExecutionRole of it names the authorities of registries."""


def bench_pod(
    name: str,
    namespace: str,
    subject: Subject,
    container: models.Container | None = None,
    labels: dict[str, str] | None = None,
    *,
    host: str = "",
) -> Pod:
    """Return the pod; subjects differ only in how it gets to its node.

    Args:
        name: The pod's name.
        namespace: The pod's namespace.
        subject: The kind of node it runs on.
        container: Its container; None means the pause image.
        labels: Further labels, by which services select it.
        host: The node that a baseline pod runs on; empty means the baseline node.
    """
    baseline = subject.kind is Kind.BASELINE
    annotations = {keys.DRIVER_ANNOTATION: subject.driver} if subject.driver else None
    if baseline:
        annotations = {keys.COMPUTE_TYPE_KEY: keys.COMPUTE_TYPE_EC2}
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            annotations=annotations,
            labels=labels,
        ),
        spec=models.PodSpec(
            containers=[
                container or models.Container(name="main", image=IMAGE, imagePullPolicy="Never")
            ],
            terminationGracePeriodSeconds=1,
            affinity=_only_on(host) if baseline else None,
            tolerations=[models.Toleration(key=BASELINE, operator="Exists")] if baseline else None,
        ),
    )


def bench_namespace(name: str) -> Namespace:
    """Return the namespace of one run."""
    return Namespace(metadata=ObjectMeta(name=name, labels=LABELS))


def bench_profile(name: str) -> FargateProfile:
    """Return the Fargate profile of one run, for the namespace of the same name."""
    return FargateProfile(
        metadata=ObjectMeta(name=name, labels=LABELS),
        spec=FargateProfileSpec(selectors=[Selector(namespace=name)], podExecutionRoleArn=ROLE),
    )


def _only_on(host: str) -> models.Affinity:
    if host:
        name = models.NodeSelectorRequirement("metadata.name", "In", [host])
        term = models.NodeSelectorTerm(matchFields=[name])
    else:
        there = models.NodeSelectorRequirement(key=BASELINE, operator="Exists")
        term = models.NodeSelectorTerm(matchExpressions=[there])
    return models.Affinity(
        nodeAffinity=models.NodeAffinity(
            requiredDuringSchedulingIgnoredDuringExecution=models.NodeSelector(
                nodeSelectorTerms=[term]
            )
        )
    )
