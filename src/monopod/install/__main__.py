"""``python -m monopod.install``: builds the images of Monopod itself, and prints their archives."""

import asyncio
import sys

from monopod.install.images import build_monopod_images
from monopod.settings import Settings
from monopod.util.progress import Progress


def _show(progress: Progress) -> None:
    print(f"{progress.task}: {progress.detail}", file=sys.stderr)


async def _main() -> None:
    images = await build_monopod_images(Settings(), _show)
    for name, archive in images.references:
        print(f"{name}\t{archive}")


if __name__ == "__main__":
    asyncio.run(_main())
