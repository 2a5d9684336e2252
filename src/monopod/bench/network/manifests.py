"""What is made in the cluster: pods, and load balancers before them. Pure."""

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
"""Of each pod, of either kind, as request and as limit: a machine of 1 vCPU and 2 GB."""
_NLB: Final = "service.beta.kubernetes.io/aws-load-balancer-"
_ALB: Final = "alb.ingress.kubernetes.io/"
NAME_LABEL: Final = "monopod.dev/bench-pod"
"""On a pod, its name: services select one by it."""
KIND_LABEL: Final = "monopod.dev/bench-kind"
"""On a pod, the name of what kind of node it is meant for: services select all of these by it."""
INTERNAL: Final = "internal"
INTERNET_FACING: Final = "internet-facing"
"""What the host reaches too."""


def fortio_pod(name: str, namespace: str, subject: Subject, image: str) -> Pod:
    """Return a pod that answers requests, and makes them when told to."""
    share = {"cpu": CPU, "memory": MEMORY}
    get = core.HTTPGetAction(port=PORT, path="/")
    container = core.Container(
        name="main",
        image=image,
        ports=[core.ContainerPort(containerPort=PORT)],
        resources=core.ResourceRequirements(requests=share, limits=share),
        readinessProbe=core.Probe(httpGet=get, periodSeconds=1),
    )
    labels = {NAME_LABEL: name, KIND_LABEL: kind_label(subject)}
    return bench_pod(name, namespace, subject, container, labels)


def kind_label(subject: Subject) -> str:
    """Return what the label of the kind says."""
    return subject.kind.name.lower()


def network_balancer(name: str, namespace: str, selector: dict[str, str], scheme: str) -> Service:
    """Return a Service that is a Network Load Balancer."""
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
    """Return an Ingress that is an Application Load Balancer before a Service's pods."""
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
