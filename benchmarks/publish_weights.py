"""Turn a training run's best weights into a registered file of `weights/`, and measure it.

    uv run python benchmarks/publish_weights.py RUN/best.safetensors STORE NAME

Fits the temperature on the store's validation split, writes NAME.safetensors (float16) and
NAME.onnx (the same values, computing in float32), enters both with their SHA-256 into index.json,
and writes what it measured to benchmarks/results/NAME.json, from which the card is written.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from glamor_cli.atomic import write_text
from glamor_cli.bench.environment import describe_environment
from glamor_cli.data.store import PairStore, Split
from glamor_cli.data.synthetic_contexts import synthetic_contexts
from glamor_cli.evaluation.evaluate import Evaluation, evaluate
from glamor_cli.export.config import ExportConfig
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.runtimes.base import Runtime, open_runtime
from glamor_cli.weights import load_network, save_network, sha256

ROOT = Path(__file__).resolve().parents[1]
TRAINING_DATA = (
    "FER2013 training split, whole images as faces, without the copies of evaluation images, "
    "half FER+ votes and half FER2013's labels; generated and zero contexts"
)
SUMMARY = "original encoders, trained on FER2013 faces; led by the face"


def main() -> None:
    """Publish one file of weights."""
    best, store, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    split = PairStore.open(store).split("validation")
    raw = evaluate(open_runtime(best, device="cpu"), split)
    temperature = fit_temperature(raw)

    network, metadata = load_network(best)
    metadata = replace(
        metadata,
        name=name,
        temperature=temperature,
        training_data=TRAINING_DATA,
        accuracy={"fer2013-validation": round(raw.metrics.accuracy, 4)},
    )
    weights = ROOT / "weights" / f"{name}.safetensors"
    exported = weights.with_suffix(".onnx")
    save_network(weights, network, metadata, half=True)
    export_onnx(weights, exported, ExportConfig(half_storage=True))

    runtimes = {file: open_runtime(file, device="cpu") for file in (weights, exported)}
    judged = {file.suffix[1:]: evaluate(runtimes[file], split) for file in runtimes}
    figures = {
        "name": name,
        "environment": describe_environment(),
        "temperature": temperature,
        "calibration_error_without_temperature": raw.metrics.calibration_error,
        "parameters": sum(value.numel() for value in network.parameters()),
        "runtimes": {
            suffix: {
                "accuracy": one.metrics.accuracy,
                "macro_f1": one.metrics.macro_f1,
                "count": one.metrics.count,
                "calibration_error": one.metrics.calibration_error,
                "recall": {
                    label: figures.recall
                    for label, figures in zip(
                        one.metrics.classes, one.metrics.per_class, strict=True
                    )
                },
                "confusion": one.metrics.confusion.tolist(),
                "mean_face_weight": float(one.stream_weights[:, 0].mean()),
            }
            for suffix, one in judged.items()
        },
        "context_swap_agreement": swap_agreement(runtimes[exported], judged["onnx"], split),
    }
    write_text(
        ROOT / "benchmarks" / "results" / f"{name}.json", json.dumps(figures, indent=2) + "\n"
    )
    index_file = ROOT / "weights" / "index.json"
    index = json.loads(index_file.read_text(encoding="utf-8")) if index_file.exists() else {}
    files = {file.name: sha256(file) for file in (weights, exported)}
    index[name] = {"files": files, "summary": SUMMARY}
    write_text(index_file, json.dumps(index, indent=2, sort_keys=True) + "\n")
    print(json.dumps(figures, indent=2))


def fit_temperature(evaluation: Evaluation) -> float:
    """Find the temperature of least negative log-likelihood, from 0.5 to 3 in steps of 0.01."""
    logits = np.log(np.clip(evaluation.probabilities, 1e-12, 1))
    rows = np.arange(len(evaluation.labels))

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled -= scaled.max(axis=1, keepdims=True)
        likelihood = scaled[rows, evaluation.labels] - np.log(np.exp(scaled).sum(axis=1))
        return -float(likelihood.mean())

    return float(min(np.arange(0.5, 3.0, 0.01).round(2), key=loss))


def swap_agreement(
    runtime: Runtime, reference: Evaluation, split: Split, count: int = 1000
) -> float:
    """Share of answers that stay when the zero context is replaced by a generated picture."""
    faces, _ = split.pairs(slice(0, count))
    generator = torch.Generator().manual_seed(0)
    contexts = synthetic_contexts(len(faces), generator).numpy()
    swapped = runtime(faces, contexts).probabilities.argmax(axis=1)
    return float((swapped == reference.probabilities[:count].argmax(axis=1)).mean())


if __name__ == "__main__":
    main()
