"""Turn a training run's best weights into a registered file of `weights/`, and measure it.

    uv run python weights/making/publish_weights.py RUN/best.safetensors STORE NAME
        [--photographs PAIRS] [--measure-only]

STORE is made of FER2013 by `glamor fer2013` (half votes, as it is unless told otherwise) and
`glamor preprocess --boxes whole`; PAIRS of labelled photographs by `glamor preprocess --boxes
detect`, with a split `test`. Fits the temperature on STORE's validation split, writes
NAME.safetensors (float16) and NAME.onnx (the same values, computing in float32), enters both with
their SHA-256 into index.json, and writes what it measured to benchmarks/results/NAME.json, from
which weights_card.py writes the card. With --measure-only the registered files stay as they are,
and are measured; the run is not read.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from places import RESULTS, WEIGHTS
from robustness import FRAMINGS, Faces, answers, gray, swapped_contexts, tint
from scipy.special import softmax

from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.evaluation.evaluate import Evaluation, evaluate
from glamor_cli.evaluation.metrics import Metrics, compute_metrics, losses_of_pairs
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import ExportConfig
from glamor_cli.files.atomic import write_text
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.system.environment import describe_environment
from glamor_cli.weights.network_file import load_network, read_metadata, save_network

TRAINING_DATA = (
    "FER2013 training split, whole images as faces, without the copies of evaluation images, "
    "FER2013's labels mixed with FER+'s votes and with a larger network's answers; generated and "
    "zero contexts"
)
SUMMARIES = {
    "glamor-original": "original encoders, trained on FER2013 faces; led by the face",
    "glamor-original-votes": "a step on the way to glamor-original, led by people's votes",
    "glamor-resnet18": "ResNet-18 encoders, ten times the parameters, trained on FER2013 faces; "
    "led by the face",
}
"""What is said of each file of weights where they are listed."""
SWAPPED = 1000
"""Pairs whose contexts are swapped, for each kind of context."""


def main() -> None:
    """Publish one file of weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("best", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("name", choices=SUMMARIES)
    parser.add_argument("--photographs", type=Path, help="pairs to judge by as well")
    parser.add_argument("--measure-only", action="store_true", help="write no weights")
    asked = parser.parse_args()
    split = PairStore.open(asked.store).split("validation")
    photographs = asked.photographs and PairStore.open(asked.photographs).split("test")
    weights = WEIGHTS / f"{asked.name}.safetensors"
    if not asked.measure_only:
        if read_metadata(asked.best).temperature != 1:
            parser.error(f"{asked.best} has a temperature already: give what the training wrote")
        publish(asked.best, weights, split)
    figures = {
        "environment": describe_environment().to_dict(),
        "name": asked.name,
        **measure(weights, split, photographs),
    }
    text = json.dumps(figures, indent=2)
    write_text(RESULTS / f"{asked.name}.json", text + "\n")
    print(text)


def publish(best: Path, weights: Path, split: Split) -> None:
    """Write a run's best weights as registered files, with the temperature that fits the split."""
    raw = evaluate(open_runtime(best, device="cpu"), split)
    network, metadata = load_network(best)
    metadata = replace(
        metadata,
        name=weights.stem,
        temperature=fit_temperature(raw.probabilities, raw.labels),
        training_data=TRAINING_DATA,
        accuracy={},
    )
    save_network(weights, network, metadata, half=True)
    # Of the values that are kept: float16 has moved an answer or two.
    kept = evaluate(open_runtime(weights, device="cpu"), split).metrics.accuracy
    metadata = replace(metadata, accuracy={"fer2013-validation": round(kept, 4)})
    save_network(weights, network, metadata, half=True)
    exported = weights.with_suffix(".onnx")
    export_onnx(weights, exported, ExportConfig(half_storage=True))
    register(weights, exported, SUMMARIES[weights.stem])


def measure(weights: Path, split: Split, photographs: Split | None) -> dict[str, Any]:
    """Measure registered files: both on the split, the ONNX file in whatever else is asked."""
    exported = weights.with_suffix(".onnx")
    network, metadata = load_network(weights)
    runtimes = {file: open_runtime(file, device="cpu") for file in (weights, exported)}
    judged = {file.suffix[1:]: evaluate(runtimes[file], split) for file in runtimes}
    raw = _without_temperature(judged["safetensors"], metadata.temperature)
    figures = {
        "encoder": str(metadata.network.encoder),
        "temperature": metadata.temperature,
        "calibration_error_without_temperature": raw.metrics.calibration_error,
        "calibration_error_of_the_other_half": cross_fitted_calibration_error(raw),
        "parameters": sum(value.numel() for value in network.parameters()),
        "runtimes": {suffix: _figures(one) for suffix, one in judged.items()},
        "ferplus_majority": majority_accuracy(judged["onnx"], split),
        "flip": judge_flip(runtimes[exported], split),
        **_measure_changes(runtimes[exported], judged["onnx"], split),
    }
    if photographs is not None:
        figures["photographs"] = judge_photographs(runtimes[exported], photographs)
        mirrored = judge_photographs(MirroredRuntime(runtimes[exported]), photographs)
        figures["flip"]["photographs"] = mirrored["accuracy"]
    return figures


def register(weights: Path, exported: Path, summary: str) -> None:
    """Enter the files into index.json."""
    index_file = weights.with_name("index.json")
    index = json.loads(index_file.read_text(encoding="utf-8")) if index_file.exists() else {}
    files = {file.name: sha256(file) for file in (weights, exported)}
    index[weights.stem] = {"files": files, "summary": summary}
    write_text(index_file, json.dumps(index, indent=2, sort_keys=True) + "\n")


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Find the temperature of least negative log-likelihood, from 0.5 to 3 in steps of 0.01."""
    logits = np.log(np.clip(probabilities, 1e-12, 1))

    def loss(temperature: float) -> float:
        return float(losses_of_pairs(softmax(logits / temperature, axis=1), labels).mean())

    return float(min(np.arange(0.5, 3.0, 0.01).round(2), key=loss))


def cross_fitted_calibration_error(raw: Evaluation) -> float:
    """Judge the temperature honestly: fitted on every other pair, measured on the rest, and back.

    A temperature fitted and measured on the same pairs would flatter itself.
    """
    even = np.arange(len(raw.labels)) % 2 == 0
    logits = np.log(np.clip(raw.probabilities, 1e-12, 1))
    calibrated = np.empty_like(raw.probabilities)
    for fitted in (even, ~even):
        temperature = fit_temperature(raw.probabilities[fitted], raw.labels[fitted])
        calibrated[~fitted] = softmax(logits[~fitted] / temperature, axis=1)
    return compute_metrics(calibrated, raw.labels, raw.metrics.classes).calibration_error


def majority_accuracy(evaluation: Evaluation, split: Split) -> dict[str, float]:
    """Judge by the majority of FER+'s votes, which the soft labels hold one half of.

    Returns:
        The accuracy where one emotion has more votes than any other, and how many faces these are;
        and the same where more than half of the votes for the seven emotions agree, which FER+'s
        authors judge by (Barsoum et al., arXiv 1608.01041).
    """
    if split.targets is None:
        raise SystemExit("the store has no soft labels: make it with glamor fer2013")
    own = np.eye(len(split.classes))[evaluation.labels]
    votes = 2 * np.asarray(split.targets, np.float64) - own
    right = votes.argmax(axis=1) == evaluation.probabilities.argmax(axis=1)
    # More than a rounding error apart: where votes are split evenly there is no majority.
    first, second = -np.partition(-votes, 1)[:, :2].T
    decided, clear = first > second + 1e-3, first > 0.5 + 1e-3
    return {
        "accuracy": float(right[decided].mean()),
        "decided": int(decided.sum()),
        "accuracy_where_clear": float(right[clear].mean()),
        "clear": int(clear.sum()),
    }


def judge_flip(runtime: Runtime, split: Split) -> dict[str, float]:
    """Judge the mean answer to a face and its mirror image, as ``--flip`` gives it."""
    judged = evaluate(MirroredRuntime(runtime), split)
    return {
        "accuracy": judged.metrics.accuracy,
        "ferplus_clear": majority_accuracy(judged, split)["accuracy_where_clear"],
    }


def judge_photographs(runtime: Runtime, split: Split) -> dict[str, Any]:
    """Judge on photographs, faces as the detector frames them; those without one are left out."""
    judged = evaluate(runtime, split)
    faces = np.array([split.faces[row].any() for row in range(len(split))])
    metrics = compute_metrics(judged.probabilities[faces], judged.labels[faces], split.classes)
    return {
        "faces": metrics.count,
        "accuracy": metrics.accuracy,
        "recall": _recall(metrics),
    }


def _measure_changes(runtime: Runtime, reference: Evaluation, split: Split) -> dict[str, Any]:
    """Measure framings on all pairs, and colours and contexts on the first of them."""
    faces, contexts = split.pairs(slice(0, len(split)))
    labels = reference.labels

    def accuracy(changed: Faces) -> float:
        return float((answers(runtime, changed, contexts) == labels).mean())

    few, zero = faces[:SWAPPED], contexts[:SWAPPED]
    before = reference.probabilities[:SWAPPED].argmax(axis=1)
    coloured = tint(few)
    return {
        "framing": {name: accuracy(change(faces)) for name, change in FRAMINGS.items()},
        "colour_gray_agreement": float(
            (answers(runtime, coloured, zero) == answers(runtime, gray(coloured), zero)).mean()
        ),
        "context_swap_agreement": {
            name: float((answers(runtime, few, swapped) == before).mean())
            for name, swapped in swapped_contexts(len(few)).items()
        },
    }


def _figures(one: Evaluation) -> dict[str, Any]:
    metrics = one.metrics
    return {
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro_f1,
        "count": metrics.count,
        "calibration_error": metrics.calibration_error,
        "recall": _recall(metrics),
        "confusion": metrics.confusion.tolist(),
        "mean_face_weight": float(one.stream_weights[:, 0].mean()),
    }


def _recall(metrics: Metrics) -> dict[str, float]:
    return {
        label: figures.recall
        for label, figures in zip(metrics.classes, metrics.per_class, strict=True)
    }


def _without_temperature(calibrated: Evaluation, temperature: float) -> Evaluation:
    """Take back the temperature that answers were given with."""
    logits = np.log(np.clip(calibrated.probabilities, 1e-12, 1))
    probabilities = softmax(logits * temperature, axis=1)
    metrics = compute_metrics(probabilities, calibrated.labels, calibrated.metrics.classes)
    return replace(calibrated, probabilities=probabilities, metrics=metrics)


if __name__ == "__main__":
    main()
