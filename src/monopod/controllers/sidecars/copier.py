"""Remembers which ConfigMaps were read and written, so that not every pod causes requests."""

import hashlib
import time
from collections.abc import Collection

import msgspec
from lightkube.resources.core_v1 import ConfigMap

from monopod.api.sidecar_injections import ClusterSidecarInjection, ConfigMapCopies
from monopod.controllers.sidecars import copies
from monopod.controllers.sidecars.copies import Originals
from monopod.controllers.sidecars.report import Problem
from monopod.kube import Client, Key

_REWRITE_AFTER = 10
"""Times of the interval of reading, after which an unchanged copy is written again."""


class Copier:
    """Reads originals once in an interval, and writes copies that are not known to be current."""

    def __init__(self, client: Client, refresh_s: float) -> None:
        """Start without knowledge.

        Args:
            client: Reads and writes ConfigMaps.
            refresh_s: Seconds for which an original is not read again.
        """
        self._client = client
        self._refresh_s = refresh_s
        self._read: dict[Key, tuple[float, ConfigMapCopies, Originals]] = {}
        self._written: dict[tuple[Key, str], tuple[float, str]] = {}

    async def originals(self, key: Key, wanted: ConfigMapCopies) -> Originals:
        """Return the ConfigMaps that an injection copies."""
        known = self._read.get(key)
        if known is not None and known[1] == wanted and known[0] > time.monotonic():
            return known[2]
        found = await copies.read_originals(self._client, wanted)
        self._read[key] = time.monotonic() + self._refresh_s * 0.9, wanted, found
        return found

    async def write(
        self,
        key: Key,
        injection: ClusterSidecarInjection,
        originals: Collection[ConfigMap],
        namespaces: Collection[str],
    ) -> Problem | None:
        """Write the copies that are not current; return what could not be written."""
        content = [(each.metadata and each.metadata.name, each.data, each.binaryData)
                   for each in originals]  # fmt: skip
        digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
        failed: list[str] = []
        for namespace in namespaces:
            until, written = self._written.get((key, namespace), (0.0, ""))
            if written == digest and until > time.monotonic():
                continue
            why = await copies.write_copies(self._client, injection, originals, namespace)
            if why is not None:
                failed.append(why)
            else:
                until = time.monotonic() + self._refresh_s * _REWRITE_AFTER
                self._written[key, namespace] = until, digest
        if not failed:
            return None
        return Problem(copies.NOT_WRITTEN, "; ".join(failed)[:1024])

    def forget(self, key: Key, namespace: str | None = None) -> None:
        """Forget an injection's copies, of one namespace or of all."""
        if namespace is None:
            self._read.pop(key, None)
        for each in [each for each in self._written if each[0] == key]:
            if namespace in (None, each[1]):
                del self._written[each]
