"""The report on two tenants, and its JSON form. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from monopod.bench.report import Host, rounded

BOUND: Final = 2.0
"""How many times its quiet figure a tenant's figure may be under attack."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the tenant that is attacked, in seconds; None means that nothing succeeded."""

    name: str
    quiet: float | None
    attacked: float | None

    @property
    def times(self) -> float | None:
        """The figure under attack, divided by the quiet one."""
        return self.attacked / self.quiet if self.quiet and self.attacked is not None else None

    @property
    def within(self) -> bool:
        """Whether the attack left it within its bound."""
        return self.times is not None and self.times <= BOUND


@dataclass(frozen=True, slots=True)
class TenantsReport:
    """One run: what was measured, on which host, under which attack."""

    taken_at: str
    host: Host
    figures: Sequence[Figure]
    attack: dict[str, int]
    """Requests of the attacker's client, accepted and refused, and its pods that ran."""
    seconds: float
    """How long the attack lasted."""
    notes: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """Return the report as JSON data."""
        return {
            "takenAt": self.taken_at,
            "host": str(self.host),
            "figures": [
                {
                    "name": each.name,
                    "quietSeconds": _number(each.quiet),
                    "attackedSeconds": _number(each.attacked),
                    "times": _number(each.times),
                    "within": each.within,
                }
                for each in self.figures
            ],
            "attack": self.attack,
            "attackSeconds": rounded(self.seconds),
            "notes": list(self.notes),
        }


def _number(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
