"""``python -m monopod.install``: builds the images of Monopod itself, and prints their archives."""

import asyncio
import sys

from monopod.build import components
from monopod.install.images import build_monopod_images
from monopod.node import guest
from monopod.settings import Settings
from monopod.util.progress import Progress


def _show(progress: Progress) -> None:
    print(f"{progress.task}: {progress.detail}", file=sys.stderr)


async def _main() -> None:
    settings = Settings()
    programs = await components.provide(settings, _show)
    sources = await components.module_directory("k8s.io/kubernetes", settings, _show)
    pause = sources / "build/pause/linux/pause.c"
    image = await guest.provide(settings.cache, programs.directory, pause, _show)
    images = await build_monopod_images(settings, image, pause, _show)
    for name, archive in images.references:
        print(f"{name}\t{archive}")


if __name__ == "__main__":
    asyncio.run(_main())
