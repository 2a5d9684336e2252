"""A report with known figures, and machines of hosts."""

import msgspec

from monopod.api.resources import MicroVM
from monopod.bench.phases import Kind, Phase, PodTimeline, Subject
from monopod.bench.report import Footprint, Host, Report
from monopod.bench.statistics import Series, Spread

MICROVM = (0.01, 0.05, 0.3, 2.0, 4.5, 5.0, 8.0)
BASELINE = (0.01, None, None, None, None, 0.03, 0.9)


def pod_timeline(
    moments: tuple[float | None, ...], factor: float = 1.0, failure: str = "", pod: str = "p"
) -> PodTimeline:
    seen = {p: m * factor for p, m in zip(Phase, moments, strict=True) if m is not None}
    return PodTimeline(pod, seen, failure=failure)


def series(kind: Kind, at_once: int, *factors: float) -> Series:
    moments = MICROVM if kind is Kind.MICROVM else BASELINE
    subject = Subject(kind, "uml" if kind is Kind.MICROVM else "")
    return Series(subject, at_once, tuple(pod_timeline(moments, factor) for factor in factors))


def machine(name: str, on: str) -> MicroVM:
    """The machine of a pod, on a host of a cluster; empty means it has none yet."""
    return msgspec.convert(
        {
            "metadata": {"name": name},
            "spec": {
                "podRef": {"namespace": "shop", "name": "web", "uid": "u"},
                "profile": "p",
                "subnet": "s",
                "milliCPU": 250,
                "memoryMiB": 512,
            },
            "status": {"host": on},
        },
        MicroVM,
    )


REPORT = Report(
    taken_at="2026-11-23T12:00:00Z",
    host=Host(2, "Some <CPU> & more", 24000, "6.18", 0.5),
    image="monopod.dev/pause:1",
    series=(
        series(Kind.MICROVM, 1, 1.0, 1.1, 0.9),
        series(Kind.MICROVM, 10, 4.0, 5.0),
        series(Kind.BASELINE, 1, 1.0, 1.0, 1.2),
        series(Kind.BASELINE, 10, 2.0, 3.0),
    ),
    footprints=(
        Footprint(
            driver="uml",
            machines=10,
            processes_mib=Spread(120.25, 130.0, 10),
            disks_mib=None,
            root_image_mib=210.0,
            guest_mib=Spread(73.0, 80.0, 10),
            idle_cpu_percent=Spread(2.5, 3.0, 10),
            watched_s=20.0,
        ),
    ),
    notes=("something was not there",),
)
