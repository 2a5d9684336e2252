"""What each object last asked for that could be done: what it has while it asks for what cannot.

AWS's controller needs no such record: a model that fails to build leaves the load balancer as it is
in AWS. Here the load balancer is HAProxy, and its configuration does not say whose each line is. So
the record lies beside that configuration, on the same disk, and is what no process remembers: it is
written whole, after HAProxy has taken what it says, and whoever is killed at any moment leaves one
that was true. It is not in the API server, because an annotation would take the right to write
every Service and Ingress, would be in the way of whoever applies those from files, and could be
edited into what was never accepted. Whoever loses the file loses the load balancers of just those
objects that are refused at that time.
"""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from monopod.balancing.parts import HttpPart, NetworkPart, Part
from monopod.files import write_whole

_log: Final = structlog.get_logger("accepted")


class _Record(msgspec.Struct, frozen=True):
    network: dict[str, NetworkPart] = msgspec.field(default_factory=dict[str, NetworkPart])
    http: dict[str, HttpPart] = msgspec.field(default_factory=dict[str, HttpPart])


class Accepted:
    """The record, by objects' uids."""

    def __init__(self, path: Path) -> None:
        """Read it; one that cannot be read counts as none."""
        self._path = path
        self._record = _read(path)
        self._written = True

    def network(self, uid: str) -> NetworkPart | None:
        """What a Service last asked for that could be done."""
        return self._record.network.get(uid)

    def http(self, uid: str) -> HttpPart | None:
        """What an Ingress last asked for that could be done."""
        return self._record.http.get(uid)

    def keep(self, done: Mapping[str, Part], present: Collection[str]) -> None:
        """Remember what is being done, and forget objects that are gone.

        Args:
            done: What HAProxy does now because objects ask for it now.
            present: The uids of all objects that ask for a load balancer, whatever comes of it.

        What cannot be written is tried again at the next look: load balancers do not wait for it.
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
            write_whole(self._path, msgspec.json.encode(record, enc_hook=str), lasting=True)
            self._written = True
        except OSError as error:
            _log.error("cannot remember what was accepted", why=str(error))


def _read(path: Path) -> _Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Record, dec_hook=_decode)
    except FileNotFoundError:
        return _Record()
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("no record of what was accepted", why=str(error))
        return _Record()


def _decode(kind: type[Any], said: Any) -> Any:  # noqa: ANN401 - whatever JSON has no word for
    if kind is not IPv4Network:
        raise NotImplementedError(f"{kind} is not written")
    return IPv4Network(said)
