"""Evidence of a failed end-to-end test: the cluster as it was at that moment, as files.

Each step has a timeout, and what it could not do is a line of ``uncollected.txt``: a cluster that
is half dead gives less evidence, but never an error in place of the test's own. No Secret is read.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from monopod.controlplane import access
from monopod.node.net.cluster_network import ClusterNetwork
from monopod.settings import Settings

KUBERNETES: Final = (
    *("all", "events", "nodes", "namespaces", "serviceaccounts", "endpointslices"),
    *("ingresses", "ingressclasses", "networkpolicies", "persistentvolumeclaims"),
    *("persistentvolumes", "certificatesigningrequests", "leases"),
)
"""What is read of upstream's kinds: never Secrets, nor ConfigMaps, which hold users' settings."""
MONOPOD: Final = (
    *("microvms", "fargateprofiles", "executionroles", "vpcs", "subnets", "securitygroups"),
    *("securitygrouppolicies", "targetgroupbindings"),
)
_PROGRAM: Final = Path(sys.executable).with_name("monopod")
_NAME_CHARS: Final = 150
_LOGGERS_OWN: Final = {"lock", "state"}
"""Files of s6-log's next to the logs."""


@dataclass(frozen=True)
class Limits:
    """How long a collection may take, and how much of the disk it may fill."""

    whole_s: float = 25.0
    """All steps together; those that have not begun by then are left out."""
    step_s: float = 8.0
    """One command."""
    log_bytes: int = 512 << 10
    """The end of each log and console."""
    output_bytes: int = 4 << 20
    """The beginning of what each command prints."""
    pods: int = 12
    """Pods of each namespace that ``monopod explain`` is asked about."""
    at_once: int = 4
    """Steps at the same time."""


def slug(test: str) -> str:
    """Return a directory's name for a test's node id: ``test_vpc.test_dns-uml``."""
    path, _, name = test.partition("::")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{Path(path).stem}.{name}").strip("-.")[:_NAME_CHARS]


def collect(
    directory: Path, home: Path, namespaces: Sequence[str] = (), limits: Limits | None = None
) -> None:
    """Write what can be learnt of a cluster into a directory.

    Args:
        directory: Where to; it is made.
        home: The cluster's home.
        namespaces: Those of the test, whose pods are explained.
        limits: Of time and size.
    """
    directory.mkdir(parents=True, exist_ok=True)
    collection = _Collection(directory, home, limits or Limits())
    with ThreadPoolExecutor(collection.limits.at_once) as pool:
        steps = collection.steps(namespaces)
        outcomes = [(name, pool.submit(collection.attempt, step)) for name, step in steps]
    failures = [f"{name}: {why}" for name, done in outcomes for why in done.result()]
    if failures:
        (directory / "uncollected.txt").write_text("\n".join(failures) + "\n")


_Step = Callable[[], list[str]]
"""Writes files and returns what it could not do; may raise anything."""


class _Collection:
    """One collection while it goes on."""

    def __init__(self, directory: Path, home: Path, limits: Limits) -> None:
        self._directory = directory
        self._home = home
        self.limits = limits
        self._deadline = time.monotonic() + limits.whole_s
        self._environment = {**os.environ, "MONOPOD_HOME": str(home), "NO_COLOR": "1"}

    def steps(self, namespaces: Sequence[str]) -> Iterator[tuple[str, _Step]]:
        """Yield every step with its name; what changes soonest comes first."""
        yield "logs", lambda: self._tails(self._home / "logs", "*/current", "logs")
        yield "consoles", lambda: self._tails(self._home / "machines", "*/console/*", "consoles")
        table = ("-o", "wide", "-A")
        for file, words in {
            "objects.txt": ("get", "pods,nodes,microvms", *table),
            "events.txt": ("get", "events", *table, "--sort-by=.metadata.creationTimestamp"),
            "kubernetes.yaml": ("get", ",".join(KUBERNETES), "-A", "-o", "yaml"),
            "monopod.yaml": ("get", ",".join(MONOPOD), "-A", "-o", "yaml"),
        }.items():
            yield file, lambda file=file, words=words: self._run(file, *self._kubectl(*words))
        yield "status.txt", lambda: self._run("status.txt", str(_PROGRAM), "status")
        for name in namespaces:
            yield f"explain {name}", lambda name=name: self._explain(name)
        for name, namespace in self._network_namespaces().items():
            inside = ("nsenter", f"--net=/run/netns/{namespace}")
            for file, command in {
                f"network/{name}-nft.txt": (*inside, "nft", "list", "ruleset"),
                f"network/{name}-addr.txt": ("ip", "-netns", namespace, "-d", "addr"),
                f"network/{name}-route.txt": (
                    *("ip", "-netns", namespace, "-d", "route", "show", "table", "all"),
                ),
            }.items():
                yield file, lambda file=file, command=command: self._run(file, *command)

    def attempt(self, step: _Step) -> list[str]:
        """Do a step; an error of any kind becomes a line."""
        if time.monotonic() >= self._deadline:
            return ["left out: no time was left"]
        try:
            return step()
        except Exception as error:  # evidence must not hide the failure it is of
            return [f"{type(error).__name__}: {error}"]

    def _network_namespaces(self) -> Mapping[str, str]:
        # The names follow from the home; only addresses depend on the transit network's number.
        plan = ClusterNetwork(Settings(home=self._home).instance, 0)
        return {
            "router": plan.router_name,
            "control": plan.control_name,
            "balancers": plan.balancers_name,
            "pulls": plan.pulls_name,
        }

    def _kubectl(self, *words: str) -> Sequence[str]:
        admin = access.administrator(Settings(home=self._home))
        timeout = f"--request-timeout={self.limits.step_s:.0f}s"
        return (
            *(str(admin.components / "kubectl"), f"--kubeconfig={admin.kubeconfig}", timeout),
            *words,
        )

    def _tails(self, source: Path, pattern: str, target: str) -> list[str]:
        found = [
            path
            for path in sorted(source.glob(pattern))
            if path.is_file() and path.name not in _LOGGERS_OWN
        ]
        for path in found:
            name = "-".join(part for part in path.relative_to(source).parts if part != "current")
            self._write(f"{target}/{name}.log", _end_of(path, self.limits.log_bytes))
        return [] if found else [f"no file {source}/{pattern}"]

    def _explain(self, namespace: str) -> list[str]:
        listing = f"explain/{namespace}.txt"
        names = ("get", "pods", "-n", namespace, "-o", "custom-columns=:.metadata.name")
        said = self._run(listing, *self._kubectl(*names, "--no-headers"))
        pods = (self._directory / listing).read_text().split() if not said else []
        for pod in pods[: self.limits.pods]:
            file = f"explain/{namespace}-{pod}.txt"
            said += self._run(file, str(_PROGRAM), "explain", "-n", namespace, pod)
        if left := len(pods[self.limits.pods :]):
            said.append(f"{left} more pods are not explained")
        return said

    def _run(self, file: str, *command: str) -> list[str]:
        """Run a command into a file; returns what went wrong, with the file's name."""
        path = self._directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = min(self.limits.step_s, self._deadline - time.monotonic())
        if seconds <= 0:
            return [f"{file} is left out: no time was left"]
        said: list[str] = []
        # Into a file and not a pipe, which a child of the command could hold open.
        with path.open("wb") as out:
            child = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = child.wait(seconds)
            except subprocess.TimeoutExpired:
                said.append(f"{file}: no end within {seconds:.1f} s")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait(1)
            else:
                if code:
                    said.append(f"{file}: exited with {code}")
        if path.stat().st_size > self.limits.output_bytes:
            os.truncate(path, self.limits.output_bytes)
            said.append(f"{file} is cut at {self.limits.output_bytes} bytes")
        return said

    def _write(self, file: str, content: bytes) -> None:
        path = self._directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _end_of(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read(most)
