"""An evaluation as files to hand on: one HTML page, the confusion matrix, figures, every answer."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glamor_cli import __version__
from glamor_cli.counts import count
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.evaluation.bootstrap import LEVEL, Interval
from glamor_cli.evaluation.confidence import measure_reliability, measure_risk_coverage
from glamor_cli.evaluation.confusion_chart import save_confusion
from glamor_cli.evaluation.evaluate import Evaluation, StoreEvaluation, write_predictions
from glamor_cli.evaluation.gallery import choose_surest, make_cards
from glamor_cli.evaluation.intervals import class_intervals, headline_intervals
from glamor_cli.evaluation.metrics import losses_of_pairs
from glamor_cli.evaluation.report_charts import draw_reliability, draw_risk_coverage
from glamor_cli.files.atomic import write_json
from glamor_cli.rendering.pages import draw_svg, write_page
from glamor_cli.system.environment import describe_environment
from glamor_cli.vision.attention_map import has_peak

REPORT, CONFUSION, FIGURES, PREDICTIONS = (
    "report.html",
    "confusion.png",
    "metrics.json",
    "predictions.csv",
)


def report_files(folder: Path) -> list[Path]:
    """Give the paths of what ``write_report`` writes into a folder."""
    return [folder / name for name in (REPORT, CONFUSION, FIGURES, PREDICTIONS)]


def write_report(folder: Path, result: StoreEvaluation) -> None:
    """Write ``report.html``, ``confusion.png``, ``metrics.json`` and ``predictions.csv``.

    The page holds everything it shows: it needs no network and none of the other files.

    Args:
        folder: Where; made if it is missing.
        result: What to report. Its store must still be there: the page shows pairs of it.

    Raises:
        ConfigError: The folder cannot be written to.
        DataError: The store has gone or changed.
    """
    evaluation = result.evaluation
    losses = losses_of_pairs(evaluation.probabilities, evaluation.labels)
    headline = headline_intervals(evaluation.metrics, losses)
    by_class = class_intervals(evaluation.metrics)
    write_predictions(folder / PREDICTIONS, evaluation)
    figures = result.to_dict() | {
        "intervals": {
            "level": LEVEL,
            **{name: _ends(value) for name, value in headline.items()},
            "per_class": {
                name: {key: _ends(value) for key, value in values.items()}
                for name, values in zip(evaluation.metrics.classes, by_class, strict=True)
            },
        }
    }
    write_json(folder / FIGURES, figures, ensure_ascii=False)
    save_confusion(folder / CONFUSION, evaluation.metrics)
    values = _page_values(result, PairStore.open(result.store).split(result.split))
    values |= {"headline": headline, "classes": _class_rows(evaluation, by_class)}
    write_page(folder / REPORT, "report.html.j2", values)


def _page_values(result: StoreEvaluation, split: Split) -> dict[str, Any]:
    """Everything that the page shows besides the intervals."""
    evaluation, metrics = result.evaluation, result.evaluation.metrics
    confidence = evaluation.probabilities.max(axis=1)
    right = evaluation.right
    reliability = measure_reliability(confidence, right)
    risk = measure_risk_coverage(confidence, right)
    support = metrics.confusion.sum(axis=1)
    commonest = int(support.argmax())
    facts = _facts(result)
    return {
        "metrics": metrics,
        "pairs": count(metrics.count, "pair"),
        "weights": result.weights,
        "store": result.store.resolve().name,
        "split": result.split,
        "notes": result.notes,
        "version": __version__,
        "written": facts["Written"],
        "level": LEVEL,
        "commonest": metrics.classes[commonest],
        "commonest_share": support[commonest] / metrics.count,
        "confusion": _confusion_rows(evaluation),
        "absent": [
            name
            for name, figures in zip(metrics.classes, metrics.per_class, strict=True)
            if not figures.support
        ],
        "reliability": reliability,
        "risk": risk,
        "tenths": sorted({math.ceil(metrics.count * tenth / 10) - 1 for tenth in range(1, 11)}),
        "reliability_chart": draw_svg(
            draw_reliability(reliability),
            "reliability",
            f"Reliability diagram; expected calibration error {reliability.error:.3f}",
        ),
        "risk_chart": draw_svg(
            draw_risk_coverage(risk),
            "risk",
            f"Risk-coverage curve; area {risk.area:.3f}",
        ),
        "looks": any(map(has_peak, evaluation.attention)),
        "wrong": make_cards(
            evaluation, split, choose_surest(confidence, evaluation.labels, ~right)
        ),
        "right": make_cards(evaluation, split, choose_surest(confidence, evaluation.labels, right)),
        "facts": facts,
    }


def _confusion_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    metrics = evaluation.metrics
    rows = []
    for index, counts in enumerate(metrics.confusion):
        support = int(counts.sum())
        cells = [
            {"count": int(n), "share": n / max(support, 1), "right": column == index}
            for column, n in enumerate(counts)
        ]
        rows.append({"name": metrics.classes[index], "support": support, "cells": cells})
    return rows


def _class_rows(evaluation: Evaluation, by_class: list[dict[str, Any]]) -> list[dict[str, Any]]:
    metrics = evaluation.metrics
    rows = []
    for index, name in enumerate(metrics.classes):
        mistaken = metrics.confusion[index].copy()
        mistaken[index] = 0
        chosen = evaluation.labels == index
        worst = int(mistaken.max())
        rows.append(
            {
                "name": name,
                "figures": metrics.per_class[index],
                "intervals": by_class[index],
                "context_weight": float(evaluation.stream_weights[chosen, 1].mean())
                if chosen.any()
                else None,
                "taken_for": [
                    other
                    for other, times in zip(metrics.classes, mistaken, strict=True)
                    if worst and times == worst
                ],
                "taken_for_count": worst,
            }
        )
    return rows


def _facts(result: StoreEvaluation) -> dict[str, str]:
    """Settings and versions, as the last table shows them."""
    metadata, config = result.metadata, result.config
    network = metadata.network
    return {
        "Weights": str(result.weights.file),
        "SHA-256": result.weights.sha256,
        "Trained on": metadata.training_data,
        "Network": f"{network.encoder} encoders, {network.variant}, {network.classes} classes",
        "Temperature": f"{metadata.temperature:g}",
        "Store": str(result.store),
        "Split": f"{result.split}, {count(result.evaluation.metrics.count, 'pair')}",
        "Runtime": str(result.engine),
        "Mirror images": "also run, both answers averaged" if config.flip else "not used",
        "Batch": str(config.batch),
        "Threads": "all" if config.threads is None else str(config.threads),
        "Intervals": f"{LEVEL:.0%}; Wilson's; for the loss, Student's",
        **describe_environment().facts(),
    }


def _ends(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)
