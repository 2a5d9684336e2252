"""The current access keys, reloaded when their file changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from monopod.identity.access_key import AccessKey, read_keys
from monopod.identity.errors import IdentityError

_log: Final = structlog.get_logger("keys")
_Stamp = tuple[int, int]


class KeyFile:
    """A file of access keys, which is replaced atomically when keys are issued or withdrawn."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            IdentityError: It cannot be read.
        """
        self._path = path
        self._stamp: _Stamp | None = None
        self._keys = read_keys(path)

    def current(self) -> Mapping[str, AccessKey]:
        """Return the currently valid keys by their ids; empty if the file cannot be read."""
        try:
            state = self._path.stat()
            stamp = (state.st_mtime_ns, state.st_ino)
            if stamp != self._stamp:
                self._keys = read_keys(self._path)
                self._stamp = stamp
        except (OSError, IdentityError) as error:
            _log.warning("access_keys_reload_failed", why=str(error))
            self._stamp, self._keys = None, {}
        return self._keys
