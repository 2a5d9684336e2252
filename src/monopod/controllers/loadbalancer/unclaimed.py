"""Warnings for objects that request a load balancer and that no controller serves. Pure.

Without a warning, their owners would have to find out by waiting. An object of a class that another
controller may serve, or whose status shows that one does, is left alone.
"""

from collections.abc import Mapping
from typing import Final

from lightkube.resources.core_v1 import Service
from lightkube.resources.networking_v1 import Ingress, IngressClass

from monopod.controllers.loadbalancer.desired import Hint, shown
from monopod.controllers.loadbalancer.ingress import (
    CLASS_ANNOTATION,
    CONTROLLER,
    is_application_balancer,
)
from monopod.controllers.loadbalancer.services import CLASS, PREFIX, is_network_balancer
from monopod.kube import annotations_of

_AUTO_MODE: Final = "eks.amazonaws.com/"
"""The prefix of EKS Auto Mode's classes, which are served only on AWS."""
_WRITE: Final = (
    f"set spec.loadBalancerClass to {CLASS}, or the annotations {PREFIX}type to external and"
    f" {PREFIX}nlb-target-type to ip"
)


def service_hint(service: Service) -> Hint | None:
    """Return a warning for a Service of type LoadBalancer that no controller serves."""
    spec = service.spec
    if spec is None or spec.type != "LoadBalancer" or is_network_balancer(service):
        return None
    if shown(service):
        return None
    name = spec.loadBalancerClass
    if name and not name.startswith(_AUTO_MODE):
        return None
    wanted = annotations_of(service).get(f"{PREFIX}type")
    if name:
        why, write = f"load balancer class {name} is not served", f"create it again: {_WRITE}"
    elif wanted:
        why, write = f"{PREFIX}type {wanted!r} is not served", _WRITE
    else:
        why, write = "it has no load balancer class", _WRITE
    message = f"No controller serves this Service: {why}; {write}"
    return Hint(service, "LoadBalancerNotClaimed", message)


def ingress_hint(ingress: Ingress, classes: Mapping[str, IngressClass]) -> Hint | None:
    """Return a warning for an Ingress that no controller serves.

    Args:
        ingress: Any Ingress.
        classes: All IngressClasses, by name.
    """
    if is_application_balancer(ingress, classes) or shown(ingress):
        return None
    annotated = annotations_of(ingress).get(CLASS_ANNOTATION)
    name = (ingress.spec.ingressClassName if ingress.spec else None) or annotated
    ours = sorted(
        of for of, each in classes.items() if each.spec and each.spec.controller == CONTROLLER
    )
    write = f"set spec.ingressClassName to {ours[0] if ours else 'alb'}"
    if not name:
        why = "it names no class, and none was the default when it was created"
    elif name not in classes:
        why = f"there is no IngressClass {name}"
    elif _of_auto_mode(classes[name]):
        why = f"IngressClass {name} is EKS Auto Mode's, which is not served"
    else:
        return None
    return Hint(ingress, "IngressNotClaimed", f"No controller serves this Ingress: {why}; {write}")


def _of_auto_mode(found: IngressClass) -> bool:
    return found.spec is not None and (found.spec.controller or "").startswith(_AUTO_MODE)
