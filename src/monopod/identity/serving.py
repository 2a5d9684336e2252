"""A server's certificate, reloaded when its files change.

The files are checked at each new connection, so a renewed certificate is used from the next
connection on, without a background task.
"""

import ssl
from pathlib import Path
from typing import Final

import structlog

_log: Final = structlog.get_logger("certificate")
_Stamp = tuple[tuple[int, int], ...]


class ServingCertificate:
    """A certificate and its key, in two PEM files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files.

        Raises:
            OSError: A file is missing, or they are not a certificate and its key.
        """
        self._files = (certificate, key)
        self._stamp = self._look()
        self._newest = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the TLS context for a server."""
        context = self._load()
        context.sni_callback = self._connecting
        return context

    def _connecting(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> None:
        self._renew()
        connection.context = self._newest

    def _renew(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._newest = self._load()
        except OSError as error:
            # Possibly between the writes of the two files: the next connection retries.
            _log.warning("certificate_reload_failed", why=str(error))
        else:
            self._stamp = stamp
            _log.info("certificate_reloaded", file=str(self._files[0]))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files)
        return context

    def _look(self) -> _Stamp:
        states = [file.stat() for file in self._files]
        return tuple((state.st_mtime_ns, state.st_ino) for state in states)
