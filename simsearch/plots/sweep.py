"""Pictures of a sweep: parallel coordinates of its trials, and how much each field matters."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.colors
import numpy as np

from simsearch.plots import style
from simsearch.sweeps import plan, trials
from simsearch.sweeps import space as space_lib

_LABEL_LENGTH = 22
_NUM_TICKS = 5
# Without the palest tenth, which hardly shows on white.
_COLORS = matplotlib.colors.ListedColormap(
    matplotlib.colormaps["viridis_r"](np.linspace(0, 0.9, 256))
)


class _Axis(NamedTuple):
    """One upright axis: where values stand on it, from 0 to 1, and what is written beside it."""

    label: str
    places: dict[Any, float]  # of the values that it shows
    ticks: list[tuple[float, str]]


def draw_all(
    directory: pathlib.Path,
    rows: Sequence[trials.Row],
    *,
    space: space_lib.Space,
    importances: Mapping[str, float],
    monitor: str,
) -> list[pathlib.Path]:
    """Draws what there is enough of to draw, and returns the paths of the PNGs.

    Args:
        directory: Where to.
        rows: The trials, the best first.
        space: What was searched.
        importances: Share of each field in the figures' variance; empty where it is not known.
        monitor: Name of the figure.
    """
    paths = []
    known = [row for row in rows if row.value is not None and row.params]
    for name, is_known in (("parallel_coordinates", known), ("importance", importances)):
        path = directory / f"{name}.png"
        path.unlink(missing_ok=True)
        if not is_known:
            continue
        if name == "importance":
            finished = sum(row.state == "finished" for row in rows)
            paths.append(draw_importance(path, importances, monitor=monitor, num_trials=finished))
        else:
            paths.append(draw_parallel(path, known, space=space, monitor=monitor))
    return paths


def draw_parallel(
    path: pathlib.Path, rows: Sequence[trials.Row], *, space: space_lib.Space, monitor: str
) -> pathlib.Path:
    """Draws a line for each trial through its values to its figure, and returns the PNG's path.

    Args:
        path: Where to.
        rows: Trials that have a figure, the best first.
        space: What was searched; an axis for each field.
        monitor: Name of the figure.
    """
    axes = [_parameter_axis(name, part) for name, part in space.items()]
    columns = [
        [
            _place(part, row.params.get(name), axis)
            for (name, part), axis in zip(space.items(), axes, strict=True)
        ]
        for row in rows
    ]
    figures = [row.value for row in rows]
    low, high = min(figures), max(figures)
    levels = [_share(value, low, high) for value in figures]
    # The trials that were cut short are grey: the colours are for the others alone.
    finished = [row.value for row in rows if row.state == "finished"] or figures
    worst, best = finished[-1], finished[0]
    shades = [_share(value, worst, best) for value in figures]
    axes.append(_figure_axis(monitor, low, high))
    with style.Canvas(1.2 + 1.9 * len(axes), 4.8) as canvas:
        drawn = canvas.figure.add_axes((0.03, 0.04, 0.94, 0.76))
        # The best is drawn last, over the others.
        for i in reversed(range(len(rows))):
            is_finished = rows[i].state == "finished"
            drawn.plot(
                range(len(axes)),
                [*columns[i], levels[i]],
                color=_COLORS(shades[i]) if is_finished else style.NEUTRAL,
                linewidth=3.0 if i == 0 else 1.6 if is_finished else 0.8,
                linestyle="-" if is_finished else ":",
                alpha=1.0 if is_finished else 0.8,
            )
        for x, axis in enumerate(axes):
            _draw_axis(drawn, x, axis)
        if worst != best:
            ends = _share(worst, low, high), _share(best, low, high)
            _draw_colors(drawn, len(axes) - 1, ends)
        _frame(drawn, len(axes))
        canvas.figure.suptitle(_title(rows, monitor), x=0.03, ha="left", fontsize=11)
        return canvas.save(path)


def draw_importance(
    path: pathlib.Path, importances: Mapping[str, float], *, monitor: str, num_trials: int
) -> pathlib.Path:
    """Draws a bar for each field's share in the figures' variance, and returns the PNG's path.

    Args:
        path: Where to.
        importances: Shares by field name, the largest first.
        monitor: Name of the figure.
        num_trials: How many figures they were found from.
    """
    names = [style.shortened(name, 40) for name in importances]
    shares = list(importances.values())
    with style.Canvas(7.5, 1.2 + 0.42 * len(names)) as canvas:
        axes = canvas.figure.add_subplot()
        axes.barh(range(len(names)), shares, color=style.QUERY, height=0.62)
        for y, share in enumerate(shares):
            axes.text(share + 0.01, y, f"{share:.0%}", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, max(*shares, 0.1) * 1.15)
        axes.grid(axis="y", visible=False)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_title(
            f"how much each field explains of the differences in {monitor} "
            f"(fANOVA, {num_trials} trials)",
            loc="left",
        )
        return canvas.save(path)


def _parameter_axis(name: str, part: space_lib.Choices | space_lib.Interval) -> _Axis:
    if isinstance(part, space_lib.Choices):
        count = len(part.values)
        places = {
            repr(value): (i + 0.5) / count if count > 1 else 0.5
            for i, value in enumerate(part.values)
        }
        ticks = [
            (place, plan.short(value))
            for value, place in zip(part.values, places.values(), strict=True)
        ]
        return _Axis(name, places, ticks)
    values = [
        part.low * (part.high / part.low) ** share
        if part.is_log
        else part.low + share * (part.high - part.low)
        for share in (i / (_NUM_TICKS - 1) for i in range(_NUM_TICKS))
    ]
    if isinstance(part.low, int):
        ticks = [(_share_of(part, value), str(value)) for value in sorted(set(map(round, values)))]
    else:
        ticks = [(_share_of(part, value), f"{value:.2g}") for value in values]
    return _Axis(name, {}, ticks)


def _place(part: space_lib.Choices | space_lib.Interval, value: Any, axis: _Axis) -> float:
    if value is None:
        return math.nan
    if isinstance(part, space_lib.Choices):
        return axis.places[repr(value)]
    return _share_of(part, value)


def _share_of(part: space_lib.Interval, value: float) -> float:
    """Returns where a value is in an interval, from 0 to 1."""
    if part.is_log:
        return math.log(value / part.low) / math.log(part.high / part.low)
    return (value - part.low) / (part.high - part.low)


def _share(value: float, low: float, high: float) -> float:
    """Returns where a value is between two others, from 0 to 1."""
    return (value - low) / (high - low) if high != low else 0.5


def _figure_axis(monitor: str, low: float, high: float) -> _Axis:
    if low == high:
        return _Axis(monitor, {}, [(0.5, f"{low:.4g}")])
    shares = [i / (_NUM_TICKS - 1) for i in range(_NUM_TICKS)]
    return _Axis(monitor, {}, [(share, f"{low + share * (high - low):.3f}") for share in shares])


def _draw_axis(drawn: Any, x: int, axis: _Axis) -> None:
    drawn.axvline(x, color=style.TEXT, linewidth=1.0, zorder=3)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for place, text in axis.ticks:
        drawn.plot([x - 0.02, x + 0.02], [place, place], color=style.TEXT, linewidth=1.0, zorder=4)
        drawn.text(
            x + 0.04,
            place,
            style.shortened(text, _LABEL_LENGTH),
            va="center",
            fontsize=8,
            bbox=box,
            zorder=5,
        )
    *group, field = axis.label.rsplit(".", 1)
    for y, part, weight in ((1.13, "".join(group), "normal"), (1.07, field, "bold")):
        text = style.shortened(part, _LABEL_LENGTH)
        drawn.text(x, y, text, ha="center", va="bottom", fontsize=8.5, fontweight=weight)


def _draw_colors(drawn: Any, x: int, ends: tuple[float, float]) -> None:
    """Draws which colour the lines of which figure have, as a strip beside the figure's axis."""
    shades = np.linspace(0, 1, 256)[:, None]
    extent = (x - 0.06, x, *ends)
    drawn.imshow(shades, cmap=_COLORS, extent=extent, origin="lower", aspect="auto", zorder=2.5)


def _frame(drawn: Any, count: int) -> None:
    drawn.set_xlim(-0.3, count - 0.4)
    drawn.set_ylim(-0.05, 1.05)
    drawn.set_xticks([])
    drawn.set_yticks([])
    drawn.grid(False)
    for spine in drawn.spines.values():
        spine.set_visible(False)


def _title(rows: Sequence[trials.Row], monitor: str) -> str:
    num_cut = sum(row.state != "finished" for row in rows)
    text = f"{monitor} of {len(rows)} trials; the best one is bold"
    if not num_cut:
        return text
    words = "that was cut short is" if num_cut == 1 else "that were cut short are"
    return f"{text}, {num_cut} {words} dotted grey"
