"""Which generations of authorities and keys are in force (no I/O).

A rotation keeps two generations in force, so that no process ever meets a certificate or a token
that it cannot verify: first the next one is trusted, then it signs, at last the previous one is no
longer trusted.
"""

import datetime as dt
import enum
from typing import Final

import msgspec

LONGEST_SIGNED: Final = dt.timedelta(hours=24)
"""How long certificates of kubelets and tokens of service accounts are valid at most: so long the
previous generation is trusted."""


class Phase(enum.Enum):
    """How far a rotation is."""

    SETTLED = "one in force"
    TRUSTED = "the next one is trusted, the old one signs"
    SIGNING = "the new one signs, the old one is trusted"


class Generations(msgspec.Struct, frozen=True):
    """The generations in force of one secret."""

    signer: int = 1
    """The one that signs."""
    trusted: tuple[int, ...] = (1,)
    """Those whose signatures are accepted; the signer is among them."""
    since: dt.datetime | None = None
    """When the phase began; None for the first generation."""

    @property
    def phase(self) -> Phase:
        """How far the rotation is."""
        if len(self.trusted) == 1:
            return Phase.SETTLED
        return Phase.SIGNING if self.signer == max(self.trusted) else Phase.TRUSTED

    @property
    def in_order(self) -> tuple[int, ...]:
        """Those trusted, the signer first: what reads one certificate only, reads that one."""
        return (self.signer, *(each for each in self.trusted if each != self.signer))

    def trusting(self, now: dt.datetime) -> "Generations":
        """Return the phase after ``SETTLED``, in which a next one is trusted."""
        return Generations(self.signer, (*self.trusted, self.signer + 1), now)

    def signing(self, now: dt.datetime) -> "Generations":
        """Return the phase in which the newest one signs."""
        return Generations(max(self.trusted), self.trusted, now)

    def settled(self, now: dt.datetime) -> "Generations":
        """Return the phase in which only the signer is trusted."""
        return Generations(self.signer, (self.signer,), now)


class Rotations(msgspec.Struct, frozen=True):
    """The generations in force of everything that is rotated this way."""

    authorities: Generations = Generations()
    """Of all authorities together."""
    token_key: Generations = Generations()
    """Of the key that signs service accounts' tokens."""


def file(name: str, generation: int) -> str:
    """Return the name of a generation's files, without suffix."""
    return name if generation == 1 else f"{name}-{generation}"
