"""Parses Kubernetes quantities as exact integers.

Not floats: a pod that requests exactly a row of the table must get that row.
"""

import re
from typing import Final

from monopod.errors import MonopodError

_QUANTITY: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]{0,40})(?:\.(?P<part>[0-9]{0,40}))?"
    r"(?P<suffix>[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,9})?"
)
_DECIMAL: Final = {
    "": 0, "n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_GREATEST_EXPONENT: Final = 100
"""Beyond it every quantity is at the cap or the smallest unit."""
_CAP: Final = (2**63 - 1) * 1000


class QuantityError(MonopodError, ValueError):
    """The text is not a Kubernetes quantity."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} is not a quantity such as 500m, 1.5, 512Mi or 1e9")


def parse_milli(text: str) -> int:
    """Return a quantity in thousandths of its unit.

    Finer amounts are rounded away from zero, and amounts above 2^63-1 units are capped, as the API
    server does in a pod's resource lists.

    Raises:
        QuantityError: The text is not a quantity.
    """
    found = _QUANTITY.fullmatch(text)
    if found is None or not (found["whole"] or found["part"]):
        raise QuantityError(text)
    part = found["part"] or ""
    amount = int((found["whole"] or "0") + part) * 1000
    suffix = found["suffix"] or ""
    if suffix in _BINARY:
        amount <<= _BINARY[suffix]
        exponent = -len(part)
    else:
        power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
        exponent = max(-_GREATEST_EXPONENT, min(power, _GREATEST_EXPONENT)) - len(part)
    amount = amount * 10**exponent if exponent >= 0 else -(-amount // 10**-exponent)
    amount = min(amount, _CAP)
    return -amount if found["sign"] == "-" else amount
