"""``python -m monopod.install``: builds the images of Monopod itself, and their release file.

``MONOPOD_IMAGES_KEY`` names the PEM file of an Ed25519 private key that signs the release.
"""

import asyncio
import os
import sys
from pathlib import Path

from monopod.errors import MonopodError
from monopod.install.images import build_monopod_images
from monopod.install.release import write_release
from monopod.settings import Settings
from monopod.util.progress import Progress


def _show(progress: Progress) -> None:
    print(f"{progress.task}: {progress.detail}", file=sys.stderr)


async def _main() -> None:
    key = os.environ.get("MONOPOD_IMAGES_KEY")
    images = await build_monopod_images(Settings(), _show, linux=True)
    file = await asyncio.to_thread(write_release, images, Path(key) if key else None)
    for name, archive in images.references.items():
        print(f"{name}\t{archive}")
    print(f"{'signed release' if key else 'release, not signed'}\t{file}")


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except MonopodError as error:
        sys.exit(f"error: {error}")
