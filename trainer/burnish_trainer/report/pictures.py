"""Draw pictures of reports as SVG text: success, funnel, evidence of a canary."""

from __future__ import annotations

import functools
import hashlib
import html
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

from burnish.cli.output import make_visible, shorten_text

Json = dict[str, Any]
RateCell = tuple[float, Sequence[float]]
"""A rate with both ends of its interval."""

Given = ParamSpec("Given")
_LONGEST = 110  # characters of a title
_INK, _OLD, _NEW, _BAD = "#26323b", "#7f8d97", "#1f7a5c", "#b5413a"
_SHADES = {_INK: "--ink", _OLD: "--old", _NEW: "--new", _BAD: "--bad"}
"""Variables of a page's style, so that pictures follow a dark scheme."""


_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "burnish",
    "text.parse_math": False,  # names may hold dollars
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def _with_style(draw: Callable[Given, str]) -> Callable[Given, str]:
    """Let a picture be drawn in the style of reports, which pictures of the caller do not get."""

    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> str:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            # Readers have the letters that the measuring font lacks; a long name leaves less room.
            for said in ("Glyph", "constrained_layout"):
                warnings.filterwarnings("ignore", said, UserWarning)
            return draw(*args, **kwargs)

    return drawn


def _make_figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _render_svg(figure: Any, label: str) -> str:
    """Return a figure as SVG with its text for readers who do not see it; its ids are its own.

    Args:
        figure: The figure.
        label: What the figure shows, as a sentence.
    """
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _SHADES.items():
        text = text.replace(colour, f"var({variable}, {colour})")
    own = f"p{hashlib.sha256(text.encode()).hexdigest()[:8]}-"
    for mark in ('<g id="', '<path id="', '<clipPath id="', 'xlink:href="#', "url(#"):
        text = text.replace(mark, mark + own)
    spoken = html.escape(make_visible(label))
    return text.replace("<svg ", f'<svg role="img" aria-label="{spoken}" ', 1)


@_with_style
def draw_funnel(stages: Sequence[Json]) -> str:
    """Draw how many runs each stage of the dataset kept.

    Args:
        stages: Name, kept, dropped by reason, in order.
    """
    figure, axes = _make_figure(7.2, 0.5 + 0.42 * len(stages))
    names = [make_visible(stage["name"]) for stage in stages]
    kept = [stage["kept"] for stage in stages]
    dropped = [sum((stage.get("dropped") or {}).values()) for stage in stages]
    axes.barh(names, kept, color=_NEW, height=0.62)
    axes.barh(names, dropped, left=kept, color=_OLD, height=0.62)
    for place, (kept_here, dropped_here) in enumerate(zip(kept, dropped, strict=True)):
        told = f"  {kept_here}" + (f", {dropped_here} dropped" if dropped_here else "")
        axes.text(kept_here + dropped_here, place, told, va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max([1, *(k + d for k, d in zip(kept, dropped, strict=True))]))
    axes.set_xlabel("runs")
    told = (f"{name} {n}" for name, n in zip(names, kept, strict=True))
    return _render_svg(figure, f"Runs that each stage kept: {', '.join(told)}.")


def draw_success(rounds: Sequence[Json]) -> str:
    """Draw success on held-out tasks before and after each round, by kind, with 95 % intervals.

    Args:
        rounds: Facts of the rounds.
    """
    kinds = [*rounds[0]["by_kind"], "all"]
    arms = [("before", _list_cells(rounds[0], "before"))]
    arms += [(f"round {n}", _list_cells(one, "after")) for n, one in enumerate(rounds, 1)]
    return draw_rates(kinds, arms)


@_with_style
def draw_rates(groups: Sequence[str], arms: Sequence[tuple[str, Sequence[RateCell]]]) -> str:
    """Draw success rates as groups of bars, with their intervals.

    Args:
        groups: Names of the groups.
        arms: Name of each arm, and its rate with both ends of the interval in each group, 0 to 1.
    """
    figure, axes = _make_figure(7.2, 3.2)
    width = 0.8 / len(arms)
    for place, (name, cells) in enumerate(arms):
        xs = [i - 0.4 + width * (place + 0.5) for i in range(len(groups))]
        heights = [100 * rate for rate, _ in cells]
        errors = [
            [max(0.0, 100 * (rate - ends[0])) for rate, ends in cells],
            [max(0.0, 100 * (ends[1] - rate)) for rate, ends in cells],
        ]
        shade = _OLD if place == 0 else _NEW
        alpha = 1.0 if place == 0 else 0.45 + 0.55 * place / max(1, len(arms) - 1)
        axes.bar(xs, heights, width, label=make_visible(name), color=shade, alpha=alpha)
        axes.errorbar(xs, heights, yerr=errors, fmt="none", color=_INK, elinewidth=0.8, capsize=2)
    axes.set_xticks(range(len(groups)), [make_visible(name) for name in groups])
    axes.set_ylim(0, 105)
    axes.set_ylabel("success, %")
    axes.legend(frameon=False, ncols=len(arms), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    told = (
        f"{name}: "
        + ", ".join(f"{g} {100 * cell[0]:.1f}" for g, cell in zip(groups, cells, strict=True))
        for name, cells in arms
    )
    return _render_svg(figure, f"Success in percent. {'; '.join(told)}.")


def _list_cells(one: Json, key: str) -> list[RateCell]:
    cells = [*one["by_kind"].values(), one["heldout"]]
    return [(cell[key], cell[f"{key}_ci95"]) for cell in cells]


@_with_style
def draw_evidence(trail: Sequence[Json], events: Sequence[Json]) -> str:
    """Draw the evidence of a canary after each decided thread.

    Args:
        trail: Per decided thread: arm, share, evidence of worse and of not worse.
        events: State changes of the rollout.
    """
    figure, axes = _make_figure(7.2, 2.8)
    xs = list(range(1, len(trail) + 1))
    for key, shade, name in (("not_worse", _NEW, "not worse"), ("worse", _BAD, "worse")):
        axes.plot(xs, [min(1e12, max(1e-6, one[key])) for one in trail], color=shade, label=name)
    axes.axhline(20, color=_INK, linewidth=0.8, linestyle=":")
    last = None
    for x, one in zip(xs, trail, strict=True):
        if one["share"] != last:
            axes.axvline(x, color=_OLD, linewidth=0.8)
            axes.text(x, axes.get_ylim()[1], f" {100 * one['share']:.0f} %", va="top", color=_INK)
            last = one["share"]
    axes.set_yscale("log")
    axes.set_xlabel("judged threads")
    axes.set_ylabel("evidence (e-value)")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    if events:
        axes.set_title(
            shorten_text(make_visible(f"{events[-1]['state']}: {events[-1]['reason']}"), _LONGEST),
            fontsize=9,
            color=_INK,
            loc="left",
        )
    end = (
        f", at the end {trail[-1]['not_worse']:.2g} not worse and {trail[-1]['worse']:.2g} worse"
        if trail
        else ""
    )
    return _render_svg(figure, f"Evidence of the canary over {len(trail)} judged threads{end}.")


def _wrap_name(name: str, longest: int) -> str:
    """Return the name of a version with its prompt on a line of its own, each shortened."""
    parts = make_visible(name).split(" with prompt ")
    return "\nwith prompt ".join(shorten_text(part, longest) for part in parts)


@_with_style
def draw_arms(arms: Sequence[tuple[str, RateCell]]) -> str:
    """Draw the success of arms as bars with their intervals.

    Args:
        arms: Name of each arm, and its rate with both ends of the interval, 0 to 1.
    """
    figure, axes = _make_figure(7.2, 0.7 + 0.45 * len(arms))
    for place, (_, (rate, ends)) in enumerate(arms):
        axes.barh(place, 100 * rate, height=0.6, color=_NEW if place else _OLD)
        error = [[max(0.0, 100 * (rate - ends[0]))], [max(0.0, 100 * (ends[1] - rate))]]
        axes.errorbar(
            [100 * rate], [place], xerr=error, fmt="none", color=_INK, elinewidth=0.8, capsize=2
        )
    names = [_wrap_name(name, _LONGEST // 2) for name, _ in arms]
    axes.set_yticks(range(len(arms)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 105)
    axes.set_xlabel("success on held-out tasks, %")
    told = (f"{name} {100 * cell[0]:.1f}" for name, cell in arms)
    return _render_svg(figure, f"Success on held-out tasks in percent: {', '.join(told)}.")


@_with_style
def draw_trend(
    rounds: Sequence[str], lines: Sequence[tuple[str, Sequence[RateCell | None]]]
) -> str:
    """Draw shares over rounds, with their intervals.

    Args:
        rounds: Name of each round.
        lines: Name of each share, and its value with both ends in each round, 0 to 1; None where it was not measured.
    """
    figure, axes = _make_figure(7.2, 3.0)
    styles = (("o-", _NEW), ("s--", _OLD), ("^:", _BAD))
    for place, (name, cells) in enumerate(lines):
        form, shade = styles[place % len(styles)]
        found = [(x, cell) for x, cell in enumerate(cells) if cell is not None]
        ys = [100 * rate for _, (rate, _) in found]
        errors = [
            [max(0.0, 100 * (rate - ends[0])) for _, (rate, ends) in found],
            [max(0.0, 100 * (ends[1] - rate)) for _, (rate, ends) in found],
        ]
        axes.errorbar(
            [x for x, _ in found], ys, yerr=errors, fmt=form, color=shade, label=name, capsize=2
        )
    axes.set_xticks(range(len(rounds)), [_wrap_name(one, 24) for one in rounds])
    axes.set_ylim(0, 105)
    axes.set_ylabel("held-out tasks, %")
    axes.legend(frameon=False, ncols=len(lines), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    told = (
        f"{name}: " + ", ".join("none" if c is None else f"{100 * c[0]:.1f}" for c in cells)
        for name, cells in lines
    )
    return _render_svg(figure, f"Shares in percent over {len(rounds)} rounds. {'; '.join(told)}.")


@_with_style
def draw_curve(points: Sequence[Json]) -> str:
    """Draw the loss of a training by step.

    Args:
        points: Step and loss of each point.
    """
    figure, axes = _make_figure(7.2, 2.6)
    steps, losses = ([point[key] for point in points] for key in ("step", "loss"))
    axes.plot(steps, losses, color=_NEW, marker="o" if len(points) < 20 else None, markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)
    label = (
        f"Loss by step: {losses[0]:.3f} at step {steps[0]}, {losses[-1]:.3f} at step {steps[-1]}."
    )
    return _render_svg(figure, label)
