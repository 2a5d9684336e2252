"""What listens on the control plane's one loopback does not get in each other's way."""

from collections import Counter

from monopod.admission.settings import AdmissionSettings
from monopod.balancing.settings import BalancingSettings
from monopod.eks.settings import EksSettings
from monopod.machines.settings import MachinesSettings
from monopod.network.settings import NetworkSettings
from monopod.scheduler.settings import SchedulerSettings

_ALL = (
    AdmissionSettings,
    BalancingSettings,
    EksSettings,
    MachinesSettings,
    NetworkSettings,
    SchedulerSettings,
)


def test_every_process_has_a_metrics_port_of_its_own() -> None:
    used = Counter(each.model_fields["metrics_port"].default for each in _ALL)
    assert set(used.values()) == {1}, used
