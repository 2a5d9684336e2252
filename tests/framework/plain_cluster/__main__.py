"""Run a plain cluster until the end of standard input: ``DIRECTORY [HOSTS]``."""

import asyncio
import sys
import time
from pathlib import Path

from tests.framework.plain_cluster import PlainCluster


async def _main(directory: Path, hosts: int) -> None:
    began = time.monotonic()
    async with PlainCluster.running(directory, hosts=hosts) as cluster:
        print(f"# {hosts} hosts ready after {time.monotonic() - began:.1f} s", flush=True)
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2))
