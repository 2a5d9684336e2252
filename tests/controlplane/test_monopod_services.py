from pathlib import Path

import pytest

from monopod.controllers.loadbalancer.settings import LoadBalancerSettings
from monopod.controllers.microvm.settings import MicroVMSettings
from monopod.controllers.patch.settings import PatchSettings
from monopod.controllers.scheduler.settings import SchedulerSettings
from monopod.controllers.sidecars.settings import SidecarSettings
from monopod.controllers.vpc.settings import VpcSettings
from monopod.controlplane import monopod_services
from monopod.controlplane.certificates.settings import CertificateSettings
from monopod.controlplane.layout import Layout
from monopod.controlplane.supervision import run_script
from monopod.eksapi.settings import EksApiSettings
from monopod.metricsproxy.settings import MetricsProxySettings
from monopod.pullproxy.settings import PullProxySettings
from monopod.settings import Settings
from monopod.webhooks.settings import WebhookSettings

pytestmark = pytest.mark.unit

LAYOUT = Layout.of(Settings(home=Path("/var/lib/monopod")), 7)


def test_each_process_gets_only_its_own_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONOPOD_WEBHOOKS_MODE", "enforce")
    monkeypatch.setenv("MONOPOD_MICROVM_IMAGE", "/elsewhere")
    every = {
        each.name: each.environment for each in monopod_services.services(LAYOUT, Path("/image"))
    }
    assert every["webhooks"]["MONOPOD_WEBHOOKS_MODE"] == "enforce"
    assert [name for name in every if "MONOPOD_WEBHOOKS_MODE" in every[name]] == ["webhooks"]
    assert every["microvm"]["MONOPOD_MICROVM_IMAGE"] == "/image", "ours is not to be overridden"


def test_the_log_level_reaches_every_process_and_a_change_restarts_it() -> None:
    """``up`` restarts a service when its run script changes."""
    quiet, chatty = (
        Layout.of(Settings(home=LAYOUT.home, log_level=level), 7) for level in ("info", "debug")
    )
    pairs = zip(
        monopod_services.services(quiet, Path("/image")),
        monopod_services.services(chatty, Path("/image")),
        strict=True,
    )
    names = set[str]()
    for before, after in pairs:
        names.add(after.name)
        assert before.environment["MONOPOD_LOG_LEVEL"] == "info"
        assert after.environment["MONOPOD_LOG_LEVEL"] == "debug"
        assert run_script(before) != run_script(after)
    assert names == {
        "certificates",
        "eksapi",
        "loadbalancer",
        "metricsproxy",
        "microvm",
        "patch",
        "pullproxy",
        "scheduler",
        "sidecars",
        "vpc",
        "webhooks",
    }


def test_each_process_has_its_own_metrics_port() -> None:
    """They share a network namespace."""
    kinds = (
        CertificateSettings,
        EksApiSettings,
        LoadBalancerSettings,
        MetricsProxySettings,
        MicroVMSettings,
        PatchSettings,
        PullProxySettings,
        SchedulerSettings,
        SidecarSettings,
        VpcSettings,
        WebhookSettings,
    )
    ports = [kind.model_fields["metrics_port"].default for kind in kinds]
    assert len(set(ports)) == len(kinds)
