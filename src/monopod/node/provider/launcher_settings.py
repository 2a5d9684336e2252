"""Settings of machines that run in launcher pods: ``MONOPOD_LAUNCHER_*``."""

from collections.abc import Iterable
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from monopod.api import keys

NAMESPACE: Final = "monopod-machines"
DRIVERS: Final = (keys.DRIVER_GVISOR, keys.DRIVER_UML, keys.DRIVER_TCG, keys.DRIVER_KVM)
"""The drivers that launcher pods can run."""


def parse_drivers(text: str) -> tuple[str, ...]:
    """Read names of drivers that are separated by commas.

    Raises:
        ValueError: There is none, or launcher pods cannot run one.
    """
    named = tuple(word.strip() for word in text.split(",") if word.strip())
    unknown = sorted(set(named) - set(DRIVERS))
    if unknown or not named:
        said = f"{', '.join(unknown)} is none of" if unknown else "name at least one of"
        raise ValueError(f"{said} {', '.join(DRIVERS)}")
    return named


def need_linux_image(drivers: Iterable[str]) -> bool:
    """Return whether one of the drivers needs the image ``monopod/launcher-linux``."""
    return set(drivers) != {keys.DRIVER_GVISOR}


class LauncherSettings(BaseSettings):
    """Where launcher pods run, and what they request beyond the machine's size."""

    model_config = SettingsConfigDict(env_prefix="MONOPOD_LAUNCHER_", frozen=True)

    image: str = ""
    """Reference of the image ``monopod/launcher``, for gVisor machines."""
    linux_image: str = ""
    """Reference of the image ``monopod/launcher-linux``, for the other drivers."""
    drivers: Annotated[tuple[str, ...], NoDecode] = (keys.DRIVER_GVISOR,)
    """The drivers that launcher pods may run, separated by commas. ``qemu-kvm`` is the default for
    pods that request none if it is among them; ``qemu-tcg`` runs where it is requested."""
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

    @field_validator("drivers", mode="before")
    @classmethod
    def _parse(cls, value: str | tuple[str, ...]) -> tuple[str, ...]:
        try:
            return parse_drivers(value if isinstance(value, str) else ",".join(value))
        except ValueError as error:
            raise ValueError(f"MONOPOD_LAUNCHER_DRIVERS: {error}") from None

    @model_validator(mode="after")
    def _check_image(self) -> Self:
        if need_linux_image(self.drivers) and not self.linux_image:
            raise ValueError(
                f"MONOPOD_LAUNCHER_DRIVERS names drivers other than {keys.DRIVER_GVISOR}: set"
                " MONOPOD_LAUNCHER_LINUX_IMAGE to the image monopod/launcher-linux"
            )
        return self
