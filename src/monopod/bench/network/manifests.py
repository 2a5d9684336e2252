"""Manifests of the network benchmark: pods and the load balancers in front of them. Pure."""

from typing import Final

from lightkube.models import core_v1 as core
from lightkube.models import networking_v1 as networking
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod, Service
from lightkube.resources.networking_v1 import Ingress

from monopod.bench.network.image import PORT
from monopod.bench.phases import Subject
from monopod.bench.pods import bench_pod

CPU: Final = "1"
MEMORY: Final = "1Gi"
"""CPU request and limit of each pod, of either kind: gives a machine of 1 vCPU and 2 GB."""
_NLB: Final = "service.beta.kubernetes.io/aws-load-balancer-"
_ALB: Final = "alb.ingress.kubernetes.io/"
NAME_LABEL: Final = "monopod.dev/bench-pod"
"""Label with a pod's name: services select one pod by it."""
KIND_LABEL: Final = "monopod.dev/bench-kind"
"""Label with the kind of a pod's node: services select all pods of a kind by it."""
INTERNAL: Final = "internal"
INTERNET_FACING: Final = "internet-facing"
"""A scheme that this host reaches too."""


def fortio_pod(
    name: str,
    namespace: str,
    subject: Subject,
    image: str,
    *,
    cpu: str = CPU,
    memory: str = MEMORY,
    host: str = "",
) -> Pod:
    """Return a pod that answers requests, and generates load on demand; see ``bench_pod``."""
    share = {"cpu": cpu, "memory": memory}
    get = core.HTTPGetAction(port=PORT, path="/")
    container = core.Container(
        name="main",
        image=image,
        ports=[core.ContainerPort(containerPort=PORT)],
        resources=core.ResourceRequirements(requests=share, limits=share),
        readinessProbe=core.Probe(httpGet=get, periodSeconds=1),
    )
    labels = {NAME_LABEL: name, KIND_LABEL: kind_label(subject)}
    return bench_pod(name, namespace, subject, container, labels, host=host)


def kind_label(subject: Subject) -> str:
    """Return the value of the kind label."""
    return f"{subject.kind.name.lower()}-{subject.driver}".rstrip("-")


def network_balancer(name: str, namespace: str, selector: dict[str, str], scheme: str) -> Service:
    """Return a Service with a Network Load Balancer."""
    annotations = {"type": "external", "nlb-target-type": "ip", "scheme": scheme}
    return Service(
        metadata=ObjectMeta(
            name=name,
            namespace=namespace,
            annotations={_NLB + key: value for key, value in annotations.items()},
        ),
        spec=core.ServiceSpec(
            type="LoadBalancer",
            loadBalancerClass="service.k8s.aws/nlb",
            allocateLoadBalancerNodePorts=False,
            selector=selector,
            ports=[core.ServicePort(name="http", port=80, targetPort=PORT)],
        ),
    )


def application_balancer(service: Service) -> Ingress:
    """Return an Ingress with an Application Load Balancer in front of a Service's pods."""
    metadata = service.metadata
    name = (metadata.name if metadata else None) or ""
    backend = networking.IngressServiceBackend(
        name=name, port=networking.ServiceBackendPort(name="http")
    )
    path = networking.HTTPIngressPath(
        path="/", pathType="Prefix", backend=networking.IngressBackend(service=backend)
    )
    annotations = {"scheme": INTERNAL, "target-type": "ip"}
    return Ingress(
        metadata=ObjectMeta(
            name=name,
            namespace=metadata.namespace if metadata else None,
            annotations={_ALB + key: value for key, value in annotations.items()},
        ),
        spec=networking.IngressSpec(
            ingressClassName="alb",
            rules=[networking.IngressRule(http=networking.HTTPIngressRuleValue(paths=[path]))],
        ),
    )
