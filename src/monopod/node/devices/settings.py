"""Settings of the device plug-in: ``MONOPOD_DEVICES_*``."""

from pathlib import Path
from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

NAMESPACE: Final = "monopod-devices"
"""Of the DaemonSet on clusters other than the embedded one."""


class DeviceSettings(BaseSettings):
    """Where the device plug-in meets the kubelet, and what it knows of KVM."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_DEVICES_", frozen=True)

    directory: Path = Path("/var/lib/kubelet/device-plugins")
    """The kubelet's directory of device plug-ins."""
    answer: Path = Path("/run/monopod/kvm.json")
    """File with the result of the probe of KVM."""
    metrics_port: int = Field(default=9485, ge=1, le=65535)
    """Port of metrics and health."""
