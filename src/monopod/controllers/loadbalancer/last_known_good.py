"""Last-known-good configuration per object, used while its spec is invalid.

AWS's controller needs no such record: a model that fails to build leaves the load balancer in AWS
unchanged. Here the load balancer is HAProxy, whose configuration does not name the owner of each
line. So the record is a file next to that configuration: it is written atomically, after HAProxy
has loaded its content, so that a kill at any moment leaves a valid record. It is not in the API
server, because an annotation would take the permission to write every Service and Ingress, would
conflict with users who apply those from files, and could be edited into what was never accepted.
If the file is lost, only objects that are invalid at that time lose their load balancers.
"""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from monopod.controllers.loadbalancer.parts import HttpPart, NetworkPart, Part
from monopod.util.files import write_atomically

_log: Final = structlog.get_logger("accepted")


class _Record(msgspec.Struct, frozen=True):
    network: dict[str, NetworkPart] = msgspec.field(default_factory=dict[str, NetworkPart])
    http: dict[str, HttpPart] = msgspec.field(default_factory=dict[str, HttpPart])


class LastKnownGood:
    """The record, by objects' uids."""

    def __init__(self, path: Path) -> None:
        """Read the record; an unreadable one counts as empty."""
        self._path = path
        self._record = _read(path)
        self._written = True

    def reload(self) -> None:
        """Read the record again: another process may have written it since."""
        self._record = _read(self._path)

    def network(self, uid: str) -> NetworkPart | None:
        """Return a Service's last-known-good part; None means that it has none."""
        return self._record.network.get(uid)

    def http(self, uid: str) -> HttpPart | None:
        """Return an Ingress's last-known-good part; None means that it has none."""
        return self._record.http.get(uid)

    def keep(self, done: Mapping[str, Part], present: Collection[str]) -> None:
        """Record the applied parts, and drop objects that no longer exist.

        Args:
            done: The parts that HAProxy now serves.
            present: The uids of all objects that request a load balancer, valid or not.

        A failed write is retried at the next reconcile: load balancers do not wait for it.
        """
        network = {uid: part for uid, part in self._record.network.items() if uid in present}
        http = {uid: part for uid, part in self._record.http.items() if uid in present}
        for uid, part in done.items():
            if isinstance(part, NetworkPart):
                network[uid] = part
            else:
                http[uid] = part
        record = _Record(network, http)
        if record == self._record and self._written:
            return
        self._record, self._written = record, False
        try:
            write_atomically(self._path, msgspec.json.encode(record, enc_hook=str), lasting=True)
            self._written = True
        except OSError as error:
            _log.error("accepted_record_write_failed", why=str(error))


def _read(path: Path) -> _Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record, dec_hook=_decode)
    except FileNotFoundError:
        return _Record()
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("accepted_record_read_failed", why=str(error))
        return _Record()


def _decode(kind: type[Any], said: Any) -> Any:  # noqa: ANN401 - any type that JSON lacks
    if kind is not IPv4Network:
        raise NotImplementedError(f"{kind} is not written")
    return IPv4Network(said)
