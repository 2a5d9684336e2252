"""Target groups as AWS's load balancer controller represents them."""

from lightkube.core import resource as res
from lightkube.core.dictmixin import DictMixin

from monopod.api import keys
from monopod.api.resource_info import CustomObject, resource_info


class ServiceReference(DictMixin):
    """A port of a service in the same namespace."""

    name: str
    port: int
    """Port number in the service."""


class TargetGroupBindingSpec(DictMixin):
    """The service whose pods are the targets."""

    serviceRef: ServiceReference
    targetGroupName: str = ""
    targetType: str = "ip"


class TargetGroupBinding(res.NamespacedResourceG, CustomObject, kw_only=True):
    """AWS's resource: one for each target group; readiness gates have its name."""

    _api_info = resource_info(
        "TargetGroupBinding",
        "targetgroupbindings",
        keys.TARGET_GROUPS,
        keys.TARGET_GROUPS_VERSION,
    )
    spec: TargetGroupBindingSpec
