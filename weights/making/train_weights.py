"""Train both networks on FER2013 within a given time, best on a GPU.

    uv run python weights/making/train_weights.py FER2013 OUT --minutes 5
        [--device cuda] [--batch 256]

FER2013 is the folder of the arrays, as ``glamor fer2013`` takes it. Each step of ``PLAN`` is one
``glamor train``: it is tried for two epochs, which tells how many fit into its share of the time,
and then run, for six epochs at least. Making the stores and judging come on top. OUT holds the
stores, a folder for each step and ``summary.json``, with which the best weights of each step are
judged as ``publish_weights.py`` does. A stopped program saves, and goes on where it was.
``publish_weights.py`` makes files of weights out of the last step of each network: of ``original``
and ``resnet18``, under the names ``glamor-original`` and ``glamor-resnet18``.
"""

import argparse
import json
import math
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from commands import glamor
from publish_weights import majority_accuracy

from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import INTERRUPTED
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.files.atomic import write_text
from glamor_cli.network.config import Encoder, Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.options import RecipeName
from glamor_cli.training.recipes import find_recipe

EPOCHS = "epochs.json"
SUMMARY = "summary.json"
SHARES_OF_VOTES = {"half": 0.5, "quarter": 0.25}
"""How much of a soft label are FER+'s votes, for each store."""

_TRIED = 2
"""Epochs of a trial."""

_FEWEST = 6
"""Epochs of the shortest training: with fewer, not all recipes would come to faces of full size."""


@dataclass(frozen=True)
class Step:
    """One training.

    Attributes:
        name: Of its folder.
        network: Its encoders.
        recipe: How it learns.
        store: What from: a key of ``SHARES_OF_VOTES``.
        share: Of the time, how much it may take.
        variant: The whole network, or the face alone.
        begins_with: The step whose weights it starts from.
        teacher: The step whose weights teach it.
    """

    name: str
    network: Encoder
    recipe: RecipeName
    store: str
    share: float
    variant: Variant = Variant.FACE_ONLY
    begins_with: str | None = None
    teacher: str | None = None


PLAN = (
    Step("resnet18-face", Encoder.RESNET18, RecipeName.FER2013, "half", 0.3),
    Step(
        "resnet18-long",
        Encoder.RESNET18,
        RecipeName.FER2013_TAUGHT,
        "quarter",
        0.15,
        begins_with="resnet18-face",
        teacher="resnet18-face",
    ),
    Step("original-face", Encoder.ORIGINAL, RecipeName.FER2013, "half", 0.25),
    Step(
        "original-long",
        Encoder.ORIGINAL,
        RecipeName.FER2013_TAUGHT,
        "quarter",
        0.2,
        begins_with="original-face",
        teacher="resnet18-long",
    ),
    Step(
        "resnet18",
        Encoder.RESNET18,
        RecipeName.FER2013_CONTEXT,
        "quarter",
        0.05,
        Variant.FULL,
        begins_with="resnet18-long",
    ),
    Step(
        "original",
        Encoder.ORIGINAL,
        RecipeName.FER2013_CONTEXT,
        "quarter",
        0.05,
        Variant.FULL,
        begins_with="original-long",
    ),
)


def main() -> None:
    """Run what is left of the plan, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, required=True, help="for the trainings together")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=256)
    asked = parser.parse_args()

    # A scheduler's way to stop a program; it would leave the command running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
    asked.out.mkdir(parents=True, exist_ok=True)
    for name, share in SHARES_OF_VOTES.items():
        make_store(asked.fer2013, asked.out, name, share)
    split = PairStore.open(asked.out / "store-half").split("validation")
    summary = []
    for step in PLAN:
        run(step, asked.out, asked.minutes * 60 * step.share, asked.device, asked.batch)
        summary.append(judge(step, asked.out, split, asked.device))
        write_text(asked.out / SUMMARY, json.dumps(summary, indent=2) + "\n")
        print(json.dumps(summary[-1]), flush=True)


def make_store(fer2013: Path, out: Path, name: str, share: float) -> None:
    """Make a store of FER2013, or go on with it."""
    images = out / f"images-{name}"
    glamor("fer2013", fer2013, images, "--votes-share", share)
    glamor("preprocess", images, out / f"store-{name}", "--boxes", "whole")


def run(step: Step, out: Path, seconds: float, device: str, batch: int) -> None:
    """Train for about so many seconds; a finished training is left as it is."""
    recipe = find_recipe(step.recipe)
    options: list[object] = [out / f"store-{step.store}"]
    options += ["--network", step.network, "--variant", step.variant]
    options += ["--device", device, "--batch", batch]
    # Between leaving the rate and scaling it with the batch, which clipped gradients do not need.
    options += ["--lr", f"{recipe.learning_rate * math.sqrt(batch / recipe.batch_size):.4g}"]
    if step.begins_with is not None:
        options += ["--init", out / step.begins_with / BEST]
    if step.teacher is not None:
        options += ["--teacher", out / step.teacher / BEST]
    decided = out / f"{step.name}-{EPOCHS}"
    if not decided.exists():
        trial = out / f"{step.name}-trial"
        shutil.rmtree(trial, ignore_errors=True)
        started = time.time()
        # A trial of small faces, which most of this recipe sees, would promise too many epochs.
        whole = RecipeName.FER2013_FINISH if recipe.small_faces else step.recipe
        glamor(
            *("train", *options, "--recipe", whole, "--run", trial),
            *("--epochs", _TRIED),
        )
        # By the clock: judging, checkpoints and curves take their time in every epoch.
        began, ended = ((trial / name).stat().st_mtime for name in (CONFIG, METRICS))
        epoch = (ended - began) / _TRIED
        left = seconds - (time.time() - started) - (began - started)
        write_text(decided, json.dumps(max(_FEWEST, int(left / epoch))) + "\n")
    epochs = json.loads(decided.read_text("utf-8"))
    glamor(
        *("train", *options, "--recipe", step.recipe, "--run", out / step.name),
        *("--epochs", epochs, "--resume"),
    )


def judge(step: Step, out: Path, split: Split, device: str) -> dict[str, object]:
    """Judge the best weights of a step on the validation split."""
    lines = (out / step.name / METRICS).read_text("utf-8").splitlines()
    judged = evaluate(open_runtime(out / step.name / BEST, device=device), split)
    return {
        "step": step.name,
        "epochs": len(lines),
        "seconds": round(sum(json.loads(line)["seconds"] for line in lines), 1),
        "accuracy": round(judged.metrics.accuracy, 4),
        "ferplus_majority": majority_accuracy(judged, split),
    }


if __name__ == "__main__":
    main()
