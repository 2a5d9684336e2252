"""Renews certificates in place, long before they expire.

No process is restarted: each of them reads its own certificate again when the file changes, or at
its next connection. A process that cannot has a certificate that lasts as long as its authority.
"""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import structlog

from monopod.controlplane.certificates import metrics
from monopod.identity.errors import IdentityError
from monopod.identity.store import IdentityStore, StoredIdentity

_log = structlog.get_logger("certificates")


class Renewer:
    """Checks all certificates, at once and then periodically."""

    def __init__(
        self,
        store: IdentityStore,
        identities: Sequence[StoredIdentity],
        *,
        check_every_s: float,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Describe a renewer; :meth:`run` starts it.

        Args:
            store: Holds the certificates.
            identities: All identities of the cluster.
            check_every_s: Seconds between two checks.
            now: Returns the time.
        """
        self.first_pass = asyncio.Event()
        self._store = store
        self._identities = identities
        self._check_every_s = check_every_s
        self._now = now

    async def run(self) -> None:
        """Check until cancelled. A failure is logged, counted, and retried at the next check."""
        while True:
            await asyncio.to_thread(self.check)
            self.first_pass.set()
            await asyncio.sleep(self._check_every_s)

    def check(self) -> list[str]:
        """Renew what is due, and return the identities that changed."""
        try:
            renewed = self._store.fill(self._identities, self._now())
            metrics.show(self._store.certificates(self._identities))
        except IdentityError as error:
            metrics.FAILED.inc()
            _log.exception("certificate_renewal_failed", why=str(error))
            return []
        for identity in renewed:
            metrics.RENEWED.labels(identity).inc()
        if renewed:
            _log.info("certificates_renewed", identities=renewed)
        return renewed
