"""Write the card of registered weights from what publish_weights.py measured.

    uv run python benchmarks/weights_card.py NAME RUN [RUN ...]

RUN are the folders of the trainings that led to the weights, and of the means made by
mean_weights.py, in their order; their recipes and metrics go into the card.
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from mean_weights import MEAN
from recording import RESULTS
from train_teacher import HIGHEST_RATE, SETTINGS

from glamor_cli.atomic import write_text
from glamor_cli.training.config import CONFIG
from glamor_cli.training.recipes import find_recipe
from glamor_cli.training.trainer import BEST, METRICS
from glamor_cli.weights import read_metadata

ROOT = Path(__file__).resolve().parents[1]

OVERRIDES = {"--epochs": "epochs", "--batch": "batch_size", "--lr": "learning_rate"}
"""Options of ``glamor train`` that change a recipe."""

CARD = """# {name}

GLAMOR-Net with the {encoder} encoders ({parameters:,} parameters), in two files with the same
values: `{name}.safetensors` (float16) and `{name}.onnx` (stored in float16, computing in
float32).

## Trained on

FER2013's training split, 27,172 gray 48x48 face crops: the whole image is the face, so that the
context is empty. Left out: 1,400 images that are copies or near copies of evaluation images, and
137 that exist only as JPEG. Labels are mixtures of the votes of FER+'s ten annotators and FER2013's
own label: {labels} FER2013's
pictures were collected from the web for research; none is in this repository.

```
glamor fer2013 FER2013 images-half
glamor preprocess images-half store-half --boxes whole
glamor fer2013 FER2013 images-quarter --votes-share 0.25
glamor preprocess images-quarter store-quarter --boxes whole
{commands}
python benchmarks/publish_weights.py {last}/best.safetensors store-half {name}
```

{recipes}

{runs}

{chosen}

## Measured

On FER2013's validation split (PublicTest) without copies of training images, {count:,} faces:

| | torch | ONNX Runtime |
|---|---|---|
{headline}

Against the majority of FER+'s votes: {majority[accuracy]:.2%}, and
{majority[accuracy_where_clear]:.2%} on the {majority[clear]:,} faces where more than half of the
votes agree. With `--flip`, which asks about the mirror image too and takes the network twice the
time, the answers are right for {flip[accuracy]:.2%}, and for {flip[ferplus_clear]:.2%} of these
majorities.

**Calibration.** The shipped temperature {temperature:.2f} was fitted on this split. Fitted on one
half and measured on the other, both ways, the calibration error is {honest:.4f}; without a
temperature it is {raw:.4f}.

| label | recall | {classes} |
|---|---|{rules}|
{confusion}

**Framing.** Accuracy with the faces changed as detectors and cameras change them:

| change | accuracy |
|---|---|
{framing}

**Context that does no harm.** Share of 1,000 answers that stay when the empty context is swapped:

| context | answers that stay |
|---|---|
{swaps}

**Colour.** {colour:.1%} of 1,000 tinted faces get the answer of their gray copies.

{photographs}All figures are in `benchmarks/results/{name}.json`.

## Good for, bad at

{beside}For trying the toolkit, for photographs where a trend is enough, and as a start for training
on your own data. Not for decisions about people: the emotion a face shows is not what a person
feels, and more than one answer in three is wrong. People themselves agree with FER2013's labels on
about 65%. Expect worse on children, on profiles and covered faces, and on emotions with a low
recall above. Trained on gray pictures only: colour is ignored. The context stream has only learnt
to be ignored; it knows nothing of scenes. Whoever has CAER-S or NCAER-S trains it from here with
`glamor train STORE --init {name}`.

## Licence

The files are under this project's MIT licence; the data they were trained on was published for
research. Whether that suits your purpose is yours to judge.
"""


RECIPES = {
    "fer2013": "learns a face encoder, first on small faces and at last on whole ones.",
    "fer2013-finish": "goes on with it, changing the faces less.",
    "fer2013-long": "goes on for longer, also with blurred and covered faces.",
    "fer2013-taught": "goes on with a teacher's answers as half of each target. It also sharpens "
    "faces, because those of photographs are sharper than FER2013's.",
    "fer2013-context": "keeps the encoder, and learns attention, fusion and classifier with "
    "contexts that are empty or generated and say nothing.",
}
"""What each recipe does that led to shipped weights, to follow its name."""

MEANS = (
    "The means average the parameters of networks that were trained on from one another (model "
    "soups, arXiv 2203.05482)."
)
TEACHERS = (
    "The teachers are larger networks, EfficientNet-Lite 0 and 2, which knew ImageNet (Apache 2.0) "
    "and learnt the same faces."
)

TEXTS = {
    "glamor-original": {
        "labels": "halves of both to begin with, a quarter and three quarters to end with.",
        "chosen": """\
Epochs, shares of means and one of several last trainings were chosen by accuracy on the validation
split, the one below, which flatters its figures a little.""",
        "beside": """\
FER2013's own labels and people's votes disagree on more than a third of the faces. These weights
follow the labels; `glamor-original-votes` follow the votes, and do better on photographs.

""",
    },
    "glamor-original-votes": {
        "labels": "halves of both to begin and to end with, a quarter and three quarters between.",
        "chosen": """\
Epochs and shares of means were chosen by accuracy on the validation split, the one below, which
flatters its figures a little; that sharpened faces are worth learning was seen on the photographs
below. The training of `teacher-lite2` was begun for seven epochs, and cut to six after the
fourth.""",
        "beside": """\
FER2013's own labels and people's votes disagree on more than a third of the faces. These weights
follow the votes, and do better on photographs; `glamor-original` follow the labels.

""",
    },
    "glamor-resnet18": {
        "labels": "halves of both to begin with, a quarter and three quarters to end with.",
        "chosen": """\
One program ran these trainings one after another, `benchmarks/train_weights.py`, and gave each as
many epochs as fitted into its share of the time. Of each the epoch with the best accuracy on the
validation split was kept, the split below, which flatters its figures a little.""",
        "beside": """\
FER2013's own labels and people's votes disagree on more than a third of the faces. These weights
follow the labels. `glamor-original` has a tenth of their parameters.

""",
    },
}
"""What differs from card to card."""


def main() -> None:
    """Write one card."""
    name, runs = sys.argv[1], [Path(argument) for argument in sys.argv[2:]]
    figures = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    write_text(ROOT / "weights" / f"{name}.md", CARD.format(**_values(name, figures, runs)))


def _values(name: str, figures: dict[str, Any], runs: list[Path]) -> dict[str, Any]:
    torch, onnx = figures["runtimes"]["safetensors"], figures["runtimes"]["onnx"]
    classes = list(onnx["recall"])
    rows = [
        f"| {label} | {onnx['recall'][label]:.1%} | {' | '.join(map(str, answers))} |"
        for label, answers in zip(classes, onnx["confusion"], strict=True)
    ]
    headline = [
        f"| accuracy | {torch['accuracy']:.2%} | {onnx['accuracy']:.2%} |",
        f"| macro-F1 | {torch['macro_f1']:.4f} | {onnx['macro_f1']:.4f} |",
        f"| mean weight of the face | {torch['mean_face_weight']:.3f} "
        f"| {onnx['mean_face_weight']:.3f} |",
    ]
    return {
        "name": name,
        "encoder": figures["encoder"],
        "parameters": figures["parameters"],
        "commands": _commands(runs),
        "last": runs[-1].name,
        "runs": _runs(runs),
        "count": onnx["count"],
        "headline": "\n".join(headline),
        "majority": figures["ferplus_majority"],
        "flip": figures["flip"],
        "temperature": figures["temperature"],
        "honest": figures["calibration_error_of_the_other_half"],
        "raw": figures["calibration_error_without_temperature"],
        "classes": " | ".join(classes),
        "rules": "|".join(["---"] * len(classes)),
        "confusion": "\n".join(rows),
        "framing": _shares(figures["framing"] | {"as it is": onnx["accuracy"]}),
        "swaps": _shares(figures["context_swap_agreement"]),
        "colour": figures["colour_gray_agreement"],
        "recipes": _recipes(runs),
        **TEXTS[name],
        "photographs": _photographs(figures.get("photographs")),
    }


def _photographs(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    recall = ", ".join(f"{label} {share:.0%}" for label, share in found["recall"].items())
    return (
        f"**Photographs.** On {found['faces']:,} faces of a public collection, framed by "
        f"CenterFace,\n{found['accuracy']:.1%} of the answers are the collection's own labels, "
        f"which students gave and which\nare visibly noisy: a trend, not a score. Found of each: "
        f"{recall}.\n\n"
    )


def _shares(shares: dict[str, float]) -> str:
    return "\n".join(f"| {name} | {share:.1%} |" for name, share in shares.items())


def _recipes(runs: list[Path]) -> str:
    """Say what each recipe of these trainings does, and what else led to the weights."""
    used = {
        json.loads((run / CONFIG).read_text("utf-8"))["recipe"]["name"]
        for run in runs
        if (run / CONFIG).exists()
    }
    lines = ["The recipes are in `glamor_cli/training/recipes.py`."]
    lines += [f"`{name}` {does}" for name, does in RECIPES.items() if name in used]
    if any((run / MEAN).exists() for run in runs):
        lines.append(MEANS)
    if any((run / SETTINGS).exists() for run in runs):
        lines.append(TEACHERS)
    lines.append(
        "The first convolution is tied to brightness, so that a colour picture gets the answer of "
        "its gray copy."
    )
    return textwrap.fill(" ".join(lines), 100, break_on_hyphens=False, break_long_words=False)


def _commands(runs: list[Path]) -> str:
    """Give the command of each training and each mean."""
    lines = []
    for run in runs:
        if (run / SETTINGS).exists():
            lines.append(_teacher_command(run))
            continue
        if (run / MEAN).exists():
            mean = json.loads((run / MEAN).read_text("utf-8"))
            line = f"python benchmarks/mean_weights.py {run.name} {mean['first']} {mean['second']}"
            lines.append(f"{line} --share {mean['share']:g}")
            continue
        config = json.loads((run / CONFIG).read_text("utf-8"))
        line = f"glamor train {Path(config['store']).name} --run {run.name}"
        recipe = find_recipe(config["recipe"]["name"])
        line += f" --recipe {recipe.name}"
        for option, setting in OVERRIDES.items():
            value = config["recipe"][setting]
            if value != getattr(recipe, setting):
                line += f" {option} {value:g}"
        if config["network"]["encoder"] != "original":
            line += f" --network {config['network']['encoder']}"
        if config["network"]["variant"] != "full":
            line += f" --variant {config['network']['variant']}"
        if config["initial_weights"]:
            line += f" --init {_in_its_folder(config['initial_weights'])}"
        if config["seed"]:
            line += f" --seed {config['seed']}"
        if config.get("teacher"):
            line += f" --teacher {_in_its_folder(config['teacher'])}"
        lines.append(line)
    return "\n".join(lines)


def _in_its_folder(path: str) -> str:
    """Name a file by its training's folder and itself, wherever that training was run."""
    return Path(*Path(path).parts[-2:]).as_posix()


def _teacher_command(run: Path) -> str:
    settings = json.loads((run / SETTINGS).read_text("utf-8"))
    if "mean_of" in settings:
        return f"python benchmarks/mean_teachers.py {run.name} {' '.join(settings['mean_of'])}"
    line = f"python benchmarks/train_teacher.py {settings['store']} {run.name}"
    line += f" --network {settings['network']} --sizes {settings['sizes']}"
    if settings["lr"] != HIGHEST_RATE:
        line += f" --lr {settings['lr']:g}"
    return line + (f" --seed {settings['seed']}" if settings["seed"] else "")


def _teacher_row(run: Path) -> str:
    settings = json.loads((run / SETTINGS).read_text("utf-8"))
    lines = [json.loads(line) for line in (run / METRICS).read_text("utf-8").splitlines()]
    return (
        f"| {run.name} | EfficientNet-Lite | {settings['seed']} | {len(lines)} "
        f"| {lines[-1]['validation_accuracy']:.2%} | {_hours(lines)} |"
    )


def _hours(lines: list[dict[str, Any]]) -> str:
    """Sum up the epochs' times; nothing where a training did not record them."""
    seconds = [line.get("seconds") for line in lines]
    return "" if None in seconds else f"{sum(seconds) / 3600:.2f}"


def _runs(runs: list[Path]) -> str:
    """Sum up each training in a row."""
    rows = [
        "| run | recipe | seed | epochs | accuracy on validation | hours |",
        "|---|---|---|---|---|---|",
    ]
    for run in (run for run in runs if (run / METRICS).exists()):
        if (run / SETTINGS).exists():
            rows.append(_teacher_row(run))
            continue
        config = json.loads((run / CONFIG).read_text("utf-8"))
        lines = [json.loads(line) for line in (run / METRICS).read_text("utf-8").splitlines()]
        rows.append(
            f"| {run.name} | {config['recipe']['name']} | {config['seed']} | {len(lines)} "
            f"| {read_metadata(run / BEST).accuracy['validation']:.2%} | {_hours(lines)} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
