"""Line and bar charts as SVG with the colors of the page, so that they are readable in light and dark mode.

Charts of the monitor are redrawn every few seconds for every visitor: strings are cheap, matplotlib is not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


_WIDTH, _HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 18, 10, 26
_LETTER = 11  # height of the letter at the end of a line
COLORS = 6  # classes hrm-c0 to hrm-c5 below

# pages that draw charts add this to their own CSS
CSS = """
.hrm-charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 285px), 1fr)); gap: 14px; }
.hrm-chart { margin: 0; padding: 10px 12px 6px; border: 1px solid var(--border-color-primary);
  border-radius: 10px; background: var(--background-fill-primary); color: var(--body-text-color); min-width: 0; }
.hrm-chart figcaption { font-size: 13px; font-weight: 600; line-height: 1.3; color: var(--body-text-color); }
.hrm-chart figcaption small { display: block; font-weight: 400; font-size: 12px;
  color: var(--body-text-color-subdued); }
.hrm-chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.hrm-chart text { font-size: 13px; fill: currentColor; opacity: 0.75; }
.hrm-chart .hrm-grid { stroke: currentColor; stroke-width: 1; opacity: 0.13; }
.hrm-chart .hrm-line { fill: none; stroke-width: 1.7; stroke-linejoin: round; }
.hrm-chart .hrm-dashed { stroke-dasharray: 5 3; }
.hrm-chart .hrm-letter { font-weight: 700; opacity: 1; }
.hrm-c0 { --hrm-color: #2f7fd1; } .hrm-c1 { --hrm-color: #d97a1a; } .hrm-c2 { --hrm-color: #1f9d6b; }
.hrm-c3 { --hrm-color: #a05fd0; } .hrm-c4 { --hrm-color: #d0475c; } .hrm-c5 { --hrm-color: #7d8590; }
.hrm-chart .hrm-line { stroke: var(--hrm-color); }
.hrm-chart circle, .hrm-chart .hrm-letter { fill: var(--hrm-color); }
.hrm-chart rect.hrm-bar { fill: #2f7fd1; opacity: 0.85; }
"""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what it is, in words.
        xs, ys: its points, from left to right; points that are not finite numbers are left out.
        color: number of its color.
        letter: drawn at its end, to tell lines apart without colors.
        dashed: dashed and with dots, as for evaluations.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    color: int = 0
    letter: str = ""
    dashed: bool = False


def number(value: float) -> str:
    """A number in a few characters: 0.00012 as 1.2e-04, 12345 as 12.3k."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 1e15 or 0 < size < 1e-3:
        return f"{value:.1e}"
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= bound:
            return f"{value / (1e3 if unit == 'k' else bound):.4g}{unit}"
    return f"{value:.4g}"


def line_chart(title: str, lines: Sequence[Line], x_label: str, note: str = "", log: bool = False) -> str:
    """A line chart as an HTML figure, with its last values in words for those who cannot see it.

    Args:
        title: what is drawn.
        lines: the lines; those without any point that can be drawn are left out.
        x_label: below the axis.
        note: second line of the caption.
        log: whether the value axis is logarithmic; values that are not positive are then left out.
    """
    drawn = [(line, points) for line in lines if (points := _points(line, log))]
    words = "; ".join(f"{line.name}: {number(points[-1][1])} at {number(points[-1][0])}" for line, points in drawn)
    label = f"{title}, by {x_label}. Last values: {words}." if drawn else f"{title}: no values yet."
    figure = [
        f'<figure class="hrm-chart"><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>',
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">',
    ]
    if drawn:
        figure += _axes_and_lines(drawn, x_label, log)
    else:
        figure.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT / 2}" text-anchor="middle">no values yet</text>')
    return "".join([*figure, "</svg></figure>"])


def bar_chart(title: str, bars: Sequence[tuple[str, float]], note: str = "") -> str:
    """A bar chart as an HTML figure.

    Args:
        title: what is counted.
        bars: label and value of each, from left to right; labels are shown where they fit.
        note: second line of the caption.
    """
    highest = max((value for _, value in bars), default=0)
    words = ", ".join(f"{name}: {number(value)}" for name, value in bars[:40])
    figure = [
        f'<figure class="hrm-chart"><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>',
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(f"{title}. {words}")}">',
    ]
    room, bottom = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM
    for tick in _ticks(0, highest or 1):
        y = bottom - tick / (highest or 1) * (bottom - _TOP)
        figure.append(_tick_line(y, number(tick)))
    step = room / max(len(bars), 1)
    every = math.ceil(max((len(name) for name, _ in bars), default=1) * 7.5 / step)
    for index, (name, value) in enumerate(bars):
        height = value / (highest or 1) * (bottom - _TOP)
        x = _LEFT + index * step
        figure.append(
            f'<rect class="hrm-bar" x="{x + step * 0.08:.1f}" y="{bottom - height:.1f}" width="{step * 0.84:.1f}" '
            f'height="{height:.1f}"><title>{escape(f"{name}: {number(value)}")}</title></rect>'
        )
        if index % every == 0:
            figure.append(
                f'<text x="{x + step / 2:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(name[:24])}</text>'
            )
    return "".join([*figure, "</svg></figure>"])


def category_chart(title: str, bars: Sequence[tuple[str, float]], note: str = "") -> str:
    """A chart of named values, one below the other, as an HTML figure.

    Args:
        title: what is counted.
        bars: name and value of each, from top to bottom; at most 12 are drawn.
        note: second line of the caption.
    """
    drawn = bars[:12]
    if len(bars) > len(drawn):
        note = f"{note}, the first {len(drawn)} of {len(bars)}"
    highest = max((value for _, value in drawn), default=0) or 1
    words = ", ".join(f"{name}: {number(value)}" for name, value in drawn)
    figure = [
        f'<figure class="hrm-chart"><figcaption>{escape(title)}<small>{escape(note)}</small></figcaption>',
        f'<svg viewBox="0 0 {_WIDTH} {max(34 * len(drawn), 34)}" role="img" '
        f'aria-label="{escape(f"{title}. {words}")}">',
    ]
    for index, (name, value) in enumerate(drawn):
        y = 34 * index
        length = value / highest * (_WIDTH - 60)
        figure.append(
            f'<text x="0" y="{y + 13}">{escape(name[:56])}</text>'
            f'<rect class="hrm-bar" x="0" y="{y + 18}" width="{length:.1f}" height="9" rx="2"/>'
            f'<text x="{length + 6:.1f}" y="{y + 27}">{number(value)}</text>'
        )
    return "".join([*figure, "</svg></figure>"])


def histogram(values: Sequence[float], bins: int = 20) -> list[tuple[str, float]]:
    """Bars for `bar_chart`: the number of values in each bin; a few whole numbers get one bar each."""
    import numpy as np

    array = np.asarray(values)
    if len(array) == 0:
        return []
    low, high = float(array.min()), float(array.max())
    if np.issubdtype(array.dtype, np.integer) and high - low < bins:
        counts = np.bincount(array - int(low))
        return [(str(int(low) + index), float(count)) for index, count in enumerate(counts)]
    counts, edges = np.histogram(array, bins=bins)
    if np.issubdtype(array.dtype, np.integer):
        edges = np.ceil(edges)  # the lowest whole number in the bin
    return [(number(edge), float(count)) for edge, count in zip(edges, counts, strict=False)]


def _points(line: Line, log: bool) -> list[tuple[float, float]]:
    return [
        (x, y)
        for x, y in zip(line.xs, line.ys, strict=True)
        if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log)
    ]


def _axes_and_lines(drawn: list[tuple[Line, list[tuple[float, float]]]], x_label: str, log: bool) -> list[str]:
    def scaled(value: float) -> float:
        return math.log10(value) if log else value

    xs = [x for _, points in drawn for x, _ in points]
    ys = [scaled(y) for _, points in drawn for _, y in points]
    left, right = min(xs), max(xs)
    low, high = min(ys), max(ys)
    if high - low < 1e-3 * abs(high) or high == low:
        # a constant; its rounding errors would fill the chart. Nonnegative values have no axis below 0
        floor = 0.0 if low >= 0 and not log else -math.inf
        low, high = max(low - (abs(low) * 0.1 or 0.5), floor), high + (abs(high) * 0.1 or 0.5)
    bottom = _HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = 0.5 if right == left else (x - left) / (right - left)
        up = (scaled(y) - low) / (high - low)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), bottom - up * (bottom - _TOP)

    parts = []
    for tick in _log_ticks(low, high) if log else _ticks(low, high):
        parts.append(
            _tick_line(bottom - (tick - low) / (high - low) * (bottom - _TOP), number(10**tick if log else tick))
        )
    for tick in _ticks(left, right, wanted=4):
        x = _LEFT + (0.5 if right == left else (tick - left) / (right - left)) * (_WIDTH - _LEFT - _RIGHT)
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{number(tick)}</text>')
    letters: list[tuple[float, float]] = []
    for line, points in drawn:
        color = f"hrm-c{line.color % COLORS}"
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in points)
        style = " hrm-dashed" if line.dashed else ""
        name = escape(f"{line.name}: {number(points[-1][1])} at {x_label} {number(points[-1][0])}")
        parts.append(f'<polyline class="hrm-line {color}{style}" points="{path}"><title>{name}</title></polyline>')
        if line.dashed or len(points) == 1:
            parts += [
                '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="2.4"><title>{}</title></circle>'.format(
                    color, *place(x, y), escape(f"{line.name}: {number(y)} at {x_label} {number(x)}")
                )
                for x, y in points
            ]
        if line.letter:
            x, y = place(*points[-1])
            # letters of lines that end next to each other are placed one below the other
            while any(abs(x - other_x) < _LETTER and abs(y - other_y) < _LETTER for other_x, other_y in letters):
                y += _LETTER
            letters.append((x, y))
            parts.append(
                f'<text class="hrm-letter {color}" x="{x + 4:.1f}" y="{y + 4:.1f}">{escape(line.letter)}</text>'
            )
    return parts


def _tick_line(y: float, text: str) -> str:
    return (
        f'<line class="hrm-grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def _ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers from `low` to `high`, about `wanted` of them."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / wanted))

    def with_step(step: float) -> list[float]:
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    return min((with_step(factor * power) for factor in (1, 2, 5, 10)), key=lambda ticks: abs(len(ticks) - wanted))


def _log_ticks(low: float, high: float) -> list[float]:
    """Exponents of round numbers: powers of ten, and if those are few, also their multiples by 2 and 5."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    factors = (1,) if high - low > 3 else (1, 2, 5)
    ticks = [power + math.log10(factor) for power in powers for factor in factors]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside or [low, high]
