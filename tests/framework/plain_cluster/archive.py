"""Gives the image of an OCI archive another name, which containerd takes from its index alone.

A second name given later would not do: the runtime goes on to ask for the first, which it completes
to one that does not exist (``docker.io/…``).
"""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any, Final, cast

_INDEX: Final = "index.json"
_NAME: Final = "io.containerd.image.name"


def renamed(archive: Path, reference: str, target: Path) -> Path:
    """Write a copy of an OCI archive whose first image has this reference; returns its path.

    Raises:
        ValueError: It has no index: it is no OCI archive.
    """
    found = False
    with (
        tarfile.open(archive) as source,
        tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as to,
    ):
        for member in source:
            content = cast("IO[bytes]", source.extractfile(member)) if member.isreg() else None
            if member.name == _INDEX and content is not None:
                index: dict[str, Any] = json.load(content)
                first = index["manifests"][0]
                first["annotations"] = {**first.get("annotations", {}), _NAME: reference}
                data = json.dumps(index).encode()
                member.size, content, found = len(data), io.BytesIO(data), True
            to.addfile(member, content)
    if not found:
        target.unlink()
        raise ValueError(f"{archive} has no {_INDEX}: it is no OCI archive")
    shutil.copymode(archive, target)
    return target
