"""The bound on the load balancers of one namespace."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network

import pytest
from lightkube.models.core_v1 import LoadBalancerIngress, LoadBalancerStatus, ServiceStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Service

from monopod.controllers.loadbalancer.bounds import within_bound
from monopod.controllers.loadbalancer.desired import DesiredLoadBalancer
from monopod.controllers.loadbalancer.model import Scheme

pytestmark = pytest.mark.unit

_POOL = IPv4Network("100.127.0.192/26")
_NOW = datetime(2026, 11, 30, tzinfo=UTC)


def _balancer(
    namespace: str,
    name: str,
    age_s: int = 0,
    address: str = "",
    scheme: Scheme = Scheme.INTERNAL,
) -> DesiredLoadBalancer:
    metadata = ObjectMeta(
        name=name,
        namespace=namespace,
        uid=f"{namespace}/{name}",
        creationTimestamp=_NOW - timedelta(seconds=age_s),
    )
    ingress = [LoadBalancerIngress(ip=address)] if address else []
    status = ServiceStatus(loadBalancer=LoadBalancerStatus(ingress=ingress))
    owner = Service(metadata=metadata, status=status)
    return DesiredLoadBalancer(f"k8s-{namespace}-{name}", scheme, (), (), (owner,), {})


def _within(at_most: int, *wanted: DesiredLoadBalancer) -> tuple[list[str], list[str]]:
    kept, refused = within_bound(wanted, at_most, lambda _: _POOL)
    return [each.name for each in kept], [each.message for each in refused]


def test_one_namespace_takes_no_more_than_its_bound() -> None:
    many = [_balancer("many", f"b{number:02}", age_s=1) for number in range(100)]
    kept, refused = _within(3, *many, _balancer("few", "one"))
    assert kept == ["k8s-many-b00", "k8s-many-b01", "k8s-many-b02", "k8s-few-one"]
    assert len(refused) == 97
    assert refused[0] == (
        "Failed build model due to namespace many has 3 load balancers of scheme internal, and may"
        " have 3 (MONOPOD_LOADBALANCER_PER_NAMESPACE)"
    )


def test_those_with_an_address_keep_it_and_the_oldest_come_next() -> None:
    wanted = (
        _balancer("a", "new", age_s=1),
        _balancer("a", "old", age_s=9),
        _balancer("a", "served", address="100.127.0.200"),
        _balancer("a", "elsewhere", address="192.0.2.1"),
    )
    assert _within(2, *wanted)[0] == ["k8s-a-old", "k8s-a-served"]
    served = [_balancer("a", f"s{number}", address=f"100.127.0.20{number}") for number in range(4)]
    kept, refused = _within(2, *served, wanted[0])
    assert kept == [each.name for each in served]
    assert "has 4 load balancers" in refused[0]


def test_the_schemes_have_bounds_apart() -> None:
    public = _balancer("a", "public", scheme=Scheme.INTERNET_FACING)
    assert _within(1, _balancer("a", "internal"), public)[1] == []
