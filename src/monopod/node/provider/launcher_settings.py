"""Settings of machines that run in launcher pods: ``MONOPOD_LAUNCHER_*``."""

from typing import Final

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

NAMESPACE: Final = "monopod-machines"


class LauncherSettings(BaseSettings):
    """Where launcher pods run, and what they request beyond the machine's size."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LAUNCHER_", frozen=True)

    image: str = ""
    """Reference of the image ``monopod/launcher``."""
    namespace: str = NAMESPACE
    """Namespace of the launcher pods, in which nothing else may run."""
    priority_class: str = ""
    """Priority class of launcher pods; empty means the cluster's default."""
    user_namespaces: bool = True
    """Whether launcher pods have a user namespace of their own (``hostUsers: false``)."""
    overhead_mib: int = Field(default=128, ge=0)
    """Memory that a launcher pod requests beyond its machine's, and beyond 3 % of that for page
    tables."""
    burst: bool = True
    """Whether a machine may use whole processors until its pod has started."""
    unreachable_s: int = Field(default=300, ge=0)
    """How long a launcher pod stays on a node that is not ready or not reachable."""
    start_timeout_s: float = Field(default=45.0, gt=0)
    """Limit for a launcher pod's containers to start, once it has its address."""
    boots_at_once: int = Field(default=50, ge=1)
    """Limit on concurrent boots in the whole cluster."""
