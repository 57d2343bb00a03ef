"""A comparison as files: one HTML page, a picture, figures, and every pair they disagree on."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli import __version__
from glamor_cli.counts import count
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.evaluation.bootstrap import LEVEL, RESAMPLES
from glamor_cli.evaluation.compare import Comparison
from glamor_cli.evaluation.gallery import choose_surest
from glamor_cli.evaluation.significance import SIGNIFICANT
from glamor_cli.files.atomic import write_json, write_text
from glamor_cli.files.csv_line import csv_line
from glamor_cli.rendering.colours import BLUE, FAINT, GREEN, INK, PURPLE, VERMILION
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.pages import draw_svg, embed_jpeg, write_page
from glamor_cli.rendering.plain_names import plain_name
from glamor_cli.system.environment import describe_environment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT, PICTURE, FIGURES, DISAGREEMENTS = (
    "comparison.html",
    "comparison.png",
    "comparison.json",
    "disagreements.csv",
)
_DPI = 150
_COLOURS = (BLUE, VERMILION, GREEN, PURPLE)
_MARKERS = "osD^vP"
_WIDE = 4
"""Times farther apart than this have enough of 1, 2, 5, 10, ... between them."""
_CONTEXT_SHOWN = (256, 192)


@dataclass(frozen=True)
class _Opinion:
    """What one network, named by its letter, answers to a pair."""

    letter: str
    answer: str
    probability: float
    right: bool


@dataclass(frozen=True)
class _Card:
    """A pair as the page shows it; its pictures are ``data:`` addresses."""

    source: str
    label: str
    face: str
    context: str
    opinions: tuple[_Opinion, ...]


def comparison_files(folder: Path) -> list[Path]:
    """Give the paths of what ``write_comparison`` writes into a folder."""
    return [folder / name for name in (REPORT, PICTURE, FIGURES, DISAGREEMENTS)]


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write ``comparison.html``, ``comparison.png``, ``comparison.json``, ``disagreements.csv``.

    Args:
        folder: Where; made if it is missing.
        comparison: What to report. Its store must still be there: the page shows pairs of it.

    Raises:
        ConfigError: The folder cannot be written to.
        DataError: The store has gone or changed.
    """
    _write_disagreements(folder / DISAGREEMENTS, comparison)
    write_json(folder / FIGURES, comparison.to_dict(), ensure_ascii=False)
    save_figure(folder / PICTURE, draw_comparison(comparison, names=True), _DPI)
    split = PairStore.open(comparison.config.store).split(comparison.split)
    write_page(folder / REPORT, "comparison.html.j2", _page_values(comparison, split))


def _write_disagreements(path: Path, comparison: Comparison) -> None:
    """Write one line for each pair that not all answer alike, as CSV."""
    columns = [
        f"{contender.letter}_{what}"
        for contender in comparison.contenders
        for what in ("emotion", "probability")
    ]
    lines = [csv_line(("source", "label", "right", *columns, "row"))]
    answers = comparison.answers
    for row in comparison.disagreements:
        label = comparison.labels[row]
        cells: list[str] = []
        right = ""
        for contender, answer, values in zip(
            comparison.contenders, answers[:, row], comparison.probabilities[:, row], strict=True
        ):
            cells += (comparison.classes[answer], f"{values[answer]:.6f}")
            right += contender.letter if answer == label else ""
        pair = str(comparison.pairs.rows[row])
        source, name = comparison.sources[row], comparison.classes[label]
        lines.append(csv_line((source, name, right, *cells, pair)))
    write_text(path, "".join(lines))


@own_style()
def draw_comparison(comparison: Comparison, *, names: bool) -> "Figure":
    """Draw accuracy with its interval over the time for one pair; without latency, side by side.

    Args:
        comparison: What to draw.
        names: Add a legend with names; without it, there are only letters.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, StrMethodFormatter

    contenders = comparison.contenders
    figure = Figure(
        figsize=(7, 4.4 + (0.22 * len(contenders) if names else 0)), layout="constrained"
    )
    axes = figure.subplots()
    timed = all(contender.latency is not None for contender in contenders)
    for index, contender in enumerate(contenders):
        accuracy, found = contender.metrics.accuracy, contender.intervals["accuracy"]
        x = contender.latency.p50_ms if timed and contender.latency is not None else index
        colour = _COLOURS[index % len(_COLOURS)]
        low, high = (accuracy, accuracy) if found is None else (found.low, found.high)
        axes.errorbar(
            x,
            accuracy,
            [[max(0.0, accuracy - low)], [max(0.0, high - accuracy)]],
            color=colour,
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=8,
            capsize=5,
            linestyle="none",
            label=f"{contender.letter}  {plain_name(contender.name, 60)}",
        )
        axes.annotate(
            contender.letter,
            (x, accuracy),
            textcoords="offset points",
            xytext=(8, 5),
            color=INK,
            fontsize=11,
            fontweight="bold",
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylabel(f"accuracy, with its {LEVEL:.0%} interval")
    if timed:
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds for one pair, median (logarithmic; left is faster)")
        times = [contender.latency.p50_ms for contender in contenders if contender.latency]
        axes.set_xlim(min(times) / 1.5, max(times) * 1.5)
        # So few that none is drawn over another, and not fewer than two.
        axes.xaxis.set_major_locator(
            LogLocator(subs=(1, 2, 5) if max(times) > _WIDE * min(times) else (1, 1.5, 2, 3, 5, 7))
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    else:
        axes.set_xticks(range(len(contenders)), [contender.letter for contender in contenders])
        axes.set_xlim(-0.5, len(contenders) - 0.5)
    axes.grid(alpha=0.3, color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    if names:
        figure.legend(loc="outside lower left", frameon=False)
    return figure


def _page_values(comparison: Comparison, split: Split) -> dict[str, Any]:
    config = comparison.config
    rows, pairs = comparison.disagreements, count(len(comparison.labels), "pair")
    return {
        "comparison": comparison,
        "pairs": pairs,
        "store": config.store.resolve().name,
        "notes": comparison.notes,
        "version": __version__,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "significant": SIGNIFICANT,
        "timed": config.latency,
        "chart": draw_svg(
            draw_comparison(comparison, names=False),
            "comparison",
            "Accuracy of each network"
            + (" over the milliseconds it takes for one pair" if config.latency else ""),
        ),
        "classes": _class_rows(comparison),
        "disagreements": len(rows),
        "cards": _make_cards(comparison, split),
        "facts": {
            "Store": str(config.store),
            "Split": f"{comparison.split}, {pairs}",
            "Batch": str(config.batch),
            "Threads": "all" if config.threads is None else str(config.threads),
            "Bootstrap": f"{RESAMPLES} resamples of the pairs, the same ones for all networks",
            **{
                contender.letter: f"{contender.weights.file}, SHA-256 {contender.weights.sha256}"
                for contender in comparison.contenders
            },
            **describe_environment().facts(),
        },
    }


def _class_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Each class's recall by network, and how often they disagree on it."""
    differing = comparison.disagreements_by_class
    rows = []
    for index, name in enumerate(comparison.classes):
        figures = [contender.metrics.per_class[index] for contender in comparison.contenders]
        recalls = [one.recall for one in figures]
        best = max(recalls) if len(set(recalls)) > 1 else None
        rows.append(
            {
                "name": name,
                "support": figures[0].support,
                "recalls": [{"value": one.recall, "best": one.recall == best} for one in figures],
                "different": int(differing[index]),
            }
        )
    return rows


def _surest_dissent(comparison: Comparison) -> NDArray[np.float64]:
    """How sure the second-surest opinion on each pair is: float64 [N], 0 where all agree."""
    answers, confidence = comparison.answers, comparison.probabilities.max(axis=2)
    dissent = np.zeros(len(comparison.labels))
    for row in comparison.disagreements:
        opinions: dict[int, float] = {}
        for answer, sure in zip(answers[:, row], confidence[:, row], strict=True):
            opinions[int(answer)] = max(opinions.get(int(answer), 0.0), float(sure))
        dissent[row] = sorted(opinions.values())[-2]
    return dissent


def _make_cards(comparison: Comparison, split: Split) -> list[_Card]:
    """Draw the pairs on which they disagree most decidedly."""
    dissent = _surest_dissent(comparison)
    rows = choose_surest(dissent, comparison.labels, dissent > 0)
    return [_make_card(comparison, split, int(row)) for row in rows]


def _make_card(comparison: Comparison, split: Split, row: int) -> _Card:
    pair, label = int(comparison.pairs.rows[row]), int(comparison.labels[row])
    context = Image.fromarray(np.asarray(split.contexts[pair]))
    large = np.asarray(context.resize(_CONTEXT_SHOWN, Image.Resampling.BICUBIC))
    values = comparison.probabilities[:, row]
    answers, sure = values.argmax(axis=1).tolist(), values.max(axis=1).tolist()
    return _Card(
        source=comparison.sources[row],
        label=comparison.classes[label],
        face=embed_jpeg(np.asarray(split.faces[pair])),
        context=embed_jpeg(large),
        opinions=tuple(
            _Opinion(one.letter, comparison.classes[answer], probability, answer == label)
            for one, answer, probability in zip(comparison.contenders, answers, sure, strict=True)
        ),
    )
