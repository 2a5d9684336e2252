"""The access keys there are, read again when their file changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from monopod.identity.access_key import AccessKey, read_keys
from monopod.identity.errors import IdentityError

_log: Final = structlog.get_logger("keys")
_Stamp = tuple[int, int]


class KeyFile:
    """A file of access keys, which whoever issues and withdraws them replaces as a whole."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            IdentityError: It cannot be read.
        """
        self._path = path
        self._stamp: _Stamp | None = None
        self._keys = read_keys(path)

    def current(self) -> Mapping[str, AccessKey]:
        """Return the keys that count now, by their ids; none if they can no longer be read."""
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_ino)
            if stamp != self._stamp:
                self._keys = read_keys(self._path)
                self._stamp = stamp
        except (OSError, IdentityError) as error:
            _log.warning("access keys not read", why=str(error))
            self._stamp, self._keys = None, {}
        return self._keys
