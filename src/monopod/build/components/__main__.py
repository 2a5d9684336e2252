"""Build the components with plain progress lines: ``python -m monopod.build.components``.

For continuous integration and for developers of the components; ``monopod up`` does the same.
"""

import asyncio
import sys
import time

from monopod.build.components import ComponentsError, provide, verify
from monopod.settings import Settings
from monopod.util.progress import Progress


class _Log:
    """Prints a line at each new step, and at every tenth of a step."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown: tuple[str, str, int | None] = ("", "", None)

    def __call__(self, progress: Progress) -> None:
        percent = progress.percent
        word = progress.detail.partition(" ")[0]
        shown = (progress.task, word, None if percent is None else percent // 10)
        if shown == self._shown:
            return
        self._shown = shown
        at = "" if percent is None else f" {percent} %"
        elapsed = time.monotonic() - self._started
        print(f"{elapsed:6.0f} s  {progress.task}{at}  {progress.detail}", flush=True)


async def _main() -> None:
    components = await provide(Settings(), _Log())
    await verify(components)
    print(components.directory)


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except ComponentsError as error:
        sys.exit(f"error: {error}")
