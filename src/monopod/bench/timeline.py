"""Draws a report as an SVG timeline: where the time of a pod's start goes.

Each series is a panel on a common scale of seconds. A phase is a bar from the end of the one before
it to its own end, both at the median; a thin line extends to the 95th percentile.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from monopod.bench.phases import Phase
from monopod.bench.report import Report
from monopod.bench.statistics import PhaseSummary, Series, counted, how_many

_WIDTH: Final = 960
_LEFT: Final = 130
_RIGHT: Final = 190
_TOP: Final = 76
_ROW: Final = 24
_BAR: Final = 14
_PANEL_HEAD: Final = 30
_PANEL_GAP: Final = 22
_AXIS: Final = 34
_STEPS: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_MOST_STEPS: Final = 12
_COLOURS: Final = {
    # Okabe and Ito's palette, which colour-blind readers can distinguish, on screen and on paper.
    Phase.ADMITTED: "#56b4e9",
    Phase.CLAIMED: "#0072b2",
    Phase.LAUNCHED: "#e69f00",
    Phase.BOOTED: "#d55e00",
    Phase.REGISTERED: "#cc79a7",
    Phase.BOUND: "#8a8a8a",
    Phase.READY: "#009e73",
}
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1b1f24}"
    ".title{font-size:17px;font-weight:600}.head{font-weight:600}"
    ".small{font-size:11px;fill:#57606a}.none{font-style:italic;fill:#8c6d1f}"
    ".figure{font-variant-numeric:tabular-nums}"
    ".grid{stroke:#e1e4e8}.late{stroke:#1b1f24;stroke-width:1.5}"
)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Converts seconds to pixels."""

    longest_s: float
    step_s: float

    def x(self, seconds: float) -> float:
        return _LEFT + seconds / self.longest_s * (_WIDTH - _LEFT - _RIGHT)

    @property
    def ticks(self) -> list[float]:
        return [n * self.step_s for n in range(round(self.longest_s / self.step_s) + 1)]


def draw(report: Report) -> str:
    """Return the picture as SVG."""
    scale = _scale(report.series)
    panels = [_panel_height(series) for series in report.series]
    bottom = _TOP + sum(panels) + _PANEL_GAP * max(0, len(panels) - 1)
    height = bottom + _AXIS + 16 * (len(report.ratios) + 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img">',
        "<title>Where the time of a pod's start goes</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 28, "Where the time of a pod's start goes", "title"),
        _text(16, 47, _subtitle(report), "small"),
        _text(
            16,
            62,
            "Bars: each phase at the median. Lines: its end at the 95th percentile."
            " Figures: the phase alone, p50 and p95, in seconds.",
            "small",
        ),
        *_grid(scale, bottom),
    ]
    top = _TOP
    for series, panel in zip(report.series, panels, strict=True):
        lines += _panel(series, top, scale)
        top += panel + _PANEL_GAP
    for number, ratio in enumerate(report.ratios):
        said = (
            f"{ratio.driver}, {how_many(ratio.at_once)}: {ratio.p50:.1f} times as long as on a"
            f" baseline node (p95: {ratio.p95:.1f} times)"
        )
        lines.append(_text(_LEFT, bottom + _AXIS + 12 + 16 * number, said, "head"))
    return "\n".join([*lines, "</svg>", ""])


def _subtitle(report: Report) -> str:
    host = report.host
    return (
        f"{report.taken_at} · {host.processors} x {host.model} · {host.memory_mib} MiB · Linux"
        f" {host.kernel} · load {host.load:.1f} before · image cached"
    )


def _scale(series: Sequence[Series]) -> _Scale:
    ends = [s.reached.p95 for each in series for s in each.summaries if s.reached is not None]
    longest = max(ends, default=1.0) or 1.0
    step = next((s for s in _STEPS if longest / s <= _MOST_STEPS), _STEPS[-1])
    return _Scale(math.ceil(longest / step) * step, step)


def _panel_height(series: Series) -> int:
    return _PANEL_HEAD + _ROW * len(series.summaries)


def _grid(scale: _Scale, bottom: int) -> Iterator[str]:
    for tick in scale.ticks:
        x = scale.x(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}"/>'
        yield _text(x, bottom + 16, f"{tick:g} s", "small", anchor="middle")


def _panel(series: Series, top: int, scale: _Scale) -> Iterator[str]:
    complete = len(series.timelines) - len(series.failures)
    whole = series.whole
    said = counted(complete, "start") + (
        f", {len(series.failures)} failed" if series.failures else ""
    )
    yield _text(16, top + 18, f"{series.title} ({said})", "head")
    if whole is not None:
        text = f"{whole.p50:.2f} · {whole.p95:.2f} total"
        yield _text(_WIDTH - _RIGHT + 14, top + 18, text, "head figure")
    began = 0.0
    for number, summary in enumerate(series.summaries):
        y = top + _PANEL_HEAD + _ROW * number
        yield from _row(summary, began, y, scale)
        if summary.reached is not None:
            began = max(began, summary.reached.p50)


def _row(summary: PhaseSummary, began: float, y: int, scale: _Scale) -> Iterator[str]:
    yield _text(_LEFT - 10, y + _BAR - 2, summary.phase.value, anchor="end")
    took, reached = summary.took, summary.reached
    if took is None or reached is None:
        yield _text(scale.x(began) + 6, y + _BAR - 2, "not observed", "none")
        return
    start, end = scale.x(began), scale.x(max(began, reached.p50))
    late = scale.x(max(began, reached.p95))
    said = escape(f"{summary.phase.value}: p50 {took.p50:.3f} s, p95 {took.p95:.3f} s")
    colour = _COLOURS[summary.phase]
    yield (
        f'<rect x="{start:.1f}" y="{y}" width="{max(1.5, end - start):.1f}" height="{_BAR}"'
        f' rx="2" fill="{colour}"><title>{said}</title></rect>'
    )
    if late - end > 1:
        middle = y + _BAR / 2
        yield f'<path class="late" d="M{end:.1f} {middle}H{late:.1f}m0-4v8" fill="none"/>'
    figures = f"{took.p50:.2f} · {took.p95:.2f}"
    yield _text(_WIDTH - _RIGHT + 14, y + _BAR - 2, figures, "figure")


def _text(x: float, y: float, text: str, style: str = "", *, anchor: str = "start") -> str:
    kind = f' class="{style}"' if style else ""
    where = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}{where}>{escape(text)}</text>'
