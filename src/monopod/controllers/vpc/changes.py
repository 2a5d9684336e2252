"""Handlers of informers that act on changes of some fields only."""

from collections.abc import Callable
from typing import TypeVar

from lightkube.core import resource as res

from monopod.kube import Change, Modified

_T = TypeVar("_T", bound=res.Resource)


def if_changed(
    fields: Callable[[_T], object], act: Callable[[], None]
) -> Callable[[Change[_T]], None]:
    """Return a handler that acts if an object came, went or changed in some fields.

    Args:
        fields: Returns the fields of an object, to be compared.
        act: Called without the object: all are looked at.
    """

    def handle(change: Change[_T]) -> None:
        if not isinstance(change, Modified) or fields(change.old) != fields(change.object):
            act()

    return handle
