"""Parses JSON in annotations as Go does: with case-insensitive keys.

AWS's controller is a Go program, so ``httpHeaderConfig`` and ``HttpHeaderConfig`` are both in use.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

_T = TypeVar("_T")


def without_underscores(name: str) -> str:
    """Return a field's name without underscores; for ``rename`` of a msgspec Struct."""
    return name.replace("_", "")


def decode(text: str, kind: type[_T]) -> _T:
    """Parse a text into a type whose structs are renamed by ``without_underscores``.

    Raises:
        msgspec.ValidationError: It is not JSON, or not of that type.
    """
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise msgspec.ValidationError(str(error)) from error
    return msgspec.convert(_lowered(value), kind)


def _lowered(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    match value:
        case Mapping():
            return {str(key).lower(): _lowered(of) for key, of in value.items()}
        case list():
            return [_lowered(of) for of in value]
        case _:
            return value
