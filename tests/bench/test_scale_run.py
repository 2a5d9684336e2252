"""The scale benchmark itself, small: with a real control plane and the real controllers."""

import pytest

from monopod.api import crds
from monopod.bench.scale import ScaleBenchOptions, bench_scale
from monopod.bench.scale.calls import KUBELETS, MICROVM, MONOPOD, SCHEDULER
from monopod.build.components import provide
from monopod.controlplane import manifests
from monopod.settings import Settings
from monopod.util.progress import ignore

pytestmark = pytest.mark.api

PODS = 20
MOST_CALLS = 20
SLACK = 0.5
"""Repeated calls after a conflict, which a busy host provokes."""
CALLS = {
    (SCHEDULER, "create", "microvms"): 1,
    (SCHEDULER, "create", "pods/binding"): 1,
    (SCHEDULER, "list", "securitygrouppolicies"): 1,
    (SCHEDULER, "patch", "pods"): 1,
    (SCHEDULER, "patch", "pods/status"): 1,
    (MICROVM, "patch", "microvms/status"): 4,
    (MICROVM, "create", "certificatesigningrequests"): 2,
    (MICROVM, "update", "certificatesigningrequests/approval"): 2,
    (MICROVM, "create", "nodes"): 1,
    (MICROVM, "create", "leases"): 1,
}
"""For each start; events and the removal of certificate requests follow in the background."""


async def test_a_pod_start_costs_twenty_api_calls() -> None:
    objects = [*crds.manifests(), *manifests.read("rbac")]
    options = ScaleBenchOptions(pods=PODS, hosts=3)
    report = await bench_scale(await provide(Settings()), objects, options, ignore)
    (step,) = report.steps
    assert (step.pods, step.starts) == (PODS, PODS)
    assert step.calls_of(*MONOPOD) <= MOST_CALLS + SLACK
    calls = {(call.user, call.verb, call.resource): each for call, each in step.calls.items()}
    for call, number in CALLS.items():
        assert number <= calls[call] <= number + SLACK, call
    assert step.calls_of(KUBELETS) == pytest.approx(6, abs=SLACK)
    assert step.placed is not None
    assert step.running is not None
    assert 0 < step.placed.p50 <= step.running.p50 <= step.seconds
    for name in ("etcd", "kube-apiserver", "scheduler", "microvm"):
        assert step.usage[name].resident_mib > 10
        assert step.usage[name].cpu_s > 0
