"""Write the card of registered weights from what publish_weights.py measured.

    uv run python weights/making/weights_card.py NAME [RUN ...]

RUN are the folders of the trainings that led to the weights, and of the means made by
mean_weights.py, in their order. They are summed up in trainings.json, after those that are
there already, and all of them go into the card.
"""

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

from places import RESULTS, WEIGHTS
from trainings import FACERES_RECIPE, FACES_RECIPE, TEACHER_RECIPE, Training, record_trainings

from glamor_cli.files.atomic import write_text
from glamor_cli.training.config import BEST

CARD = """# {name}

GLAMOR-Net with the {encoder} encoders ({parameters:,} parameters), in two files with the same
values: `{name}.safetensors` (float16) and `{name}.onnx` (stored in float16, computing in
float32).

## Trained on

FER2013's training split, 27,172 gray 48x48 face crops: the whole image is the face, so that the
context is empty. Left out: 1,400 images that are copies or near copies of evaluation images, and
137 that exist only as JPEG. Labels are mixtures of the votes of FER+'s ten annotators and FER2013's
own label: {labels} FER2013's
pictures were collected from the web for research; none is in this repository. `FER2013` below is a
folder of two files of arrays, which `glamor_cli/data/data_sets/fer2013.py` describes;
`PHOTOGRAPHS` is a pair store of labelled photographs with a split `test`.

```
glamor fer2013 FER2013 images-half
glamor preprocess images-half store-half --boxes whole
glamor fer2013 FER2013 images-quarter --votes-share 0.25
glamor preprocess images-quarter store-quarter --boxes whole
{commands}
{publishing}
```

{recipes}

{runs}

{chosen}

## Measured

On FER2013's validation split (PublicTest) without copies of training images, {count:,} faces:

| | torch | ONNX Runtime |
|---|---|---|
{headline}

Against the majority of FER+'s votes: {majority[accuracy]:.2%} on the {majority[decided]:,} faces
that have one, and {majority[accuracy_where_clear]:.2%} on the {majority[clear]:,} faces where more
than half of the votes agree. With `--flip`, which asks about the mirror image too and takes the
network twice the time, the answers are right for {flip[accuracy]:.2%}, and for
{flip[ferplus_clear]:.2%} of these majorities.

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
about 65% (Goodfellow and others, arXiv 1307.0414). Expect worse on children, on profiles and
covered faces, and on emotions with a low recall above. Trained on gray pictures only: colour is
ignored. The context stream has only learnt to be ignored; it knows nothing of scenes. If you have
CAER-S or NCAER-S, train it from here with `glamor train STORE --init {name}`.

## Licence

The files are under this project's MIT licence; the data they were trained on was published for
research. Whether that suits your purpose is for you to judge.
"""


RECIPES = {
    "fer2013": "learns a face encoder, first on small faces and finally on whole ones.",
    "fer2013-finish": "goes on with it, changing the faces less.",
    "fer2013-long": "goes on for longer, also with blurred and covered faces.",
    "fer2013-taught": "goes on with targets of which half are a teacher's answers. It also "
    "sharpens faces, because those of photographs are sharper than FER2013's.",
    "fer2013-distil": "goes on for longest with a teacher's answers, and changes the faces less.",
    "fer2013-context": "keeps the encoder, and learns attention, fusion and classifier with "
    "contexts that are empty or generated and say nothing.",
}
"""What each recipe does that led to shipped weights, to follow its name."""

MEANS = (
    "The means average the parameters of networks that were trained on from one another (model "
    "soups, arXiv 2203.05482)."
)
TEACHERS = {
    TEACHER_RECIPE: "The teachers are larger networks, EfficientNet-Lite 0 and 2, pretrained "
    "on ImageNet (Apache 2.0), which learnt the same faces; the docstring of `train_teacher.py` "
    "says what it needs installed.",
    FACES_RECIPE: "The network that knows faces is dlib's for recognising people (public domain), "
    "taught the same faces; the docstring of `train_teacher.py` says where its weights come from.",
    FACERES_RECIPE: "The MobileNet had learnt to tell the people of VGGFace2 apart (a data set for "
    "research), and was taught the same faces; the docstring of `train_teacher.py` says where its "
    "weights come from.",
}
"""What each kind of teacher is."""

TEXTS = {
    "glamor-original": {
        "labels": "halves of both, or a quarter and three quarters; in the last trainings 0.7 of"
        "\neach label is what a larger network answered.",
        "chosen": """\
`labels`, `votes` and `glamor-original` were published once, the first and the last under this name,
the second as `glamor-original-votes`; all are in the history. Epochs, shares of means and which
trainings to average were chosen by what the networks answered on the validation split, the one
below, about sixty means in all: that flatters its figures by some tenths of a point. That sharpened
faces are worth learning was seen on the photographs below; nothing else was chosen by them. The
training of `teacher-lite2` was begun for seven epochs, and cut to six after the fourth. Another
training beside `face-again` came out worse, and is not in the means. `taught-by-mobilenet.csv` was
computed from the answers in `images-half/taught.csv`, which is the same as asking again except for
the sixth decimal.""",
        "beside": """\
FER2013's own labels and people's votes disagree on more than a third of the faces. These weights
stand between them. The file before this one was right for 66.15% of the labels and 78.6% of the
clear majorities, `glamor-original-votes` for 64.12% and 82.0%, and both for fewer of the faces in
photographs (55.9% and 56.8%). Both did better on faces of half the resolution (58.2% and
56.3%): the last trainings blur nothing.

""",
    },
    "glamor-resnet18": {
        "labels": "halves of both to begin with, a quarter and three quarters to end with.",
        "chosen": """\
One program, `weights/making/train_weights.py`, ran these trainings one after another, and gave each
as many epochs as fitted into its share of the time. Of each the epoch with the best accuracy on the
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the weights")
    parser.add_argument("runs", nargs="*", type=Path, help="folders of trainings and means")
    asked = parser.parse_args()
    name = asked.name
    figures = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    trainings = record_trainings(name, asked.runs)
    write_text(WEIGHTS / f"{name}.md", CARD.format(**_values(name, figures, trainings)))


def _values(name: str, figures: dict[str, Any], trainings: list[Training]) -> dict[str, Any]:
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
        "commands": "\n".join(training.command for training in trainings),
        "publishing": f"python weights/making/publish_weights.py {trainings[-1].name}/{BEST} "
        f"store-half {name} --photographs PHOTOGRAPHS",
        "runs": _table(trainings),
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
        "recipes": _recipes(trainings),
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
        f"which students gave and which\nare visibly noisy: a trend, not a score. Recall: "
        f"{recall}.\n\n"
    )


def _shares(shares: dict[str, float]) -> str:
    return "\n".join(f"| {name} | {share:.1%} |" for name, share in shares.items())


def _recipes(trainings: list[Training]) -> str:
    """Say what each recipe of these trainings does, and what else led to the weights."""
    used = {training.recipe for training in trainings}
    lines = ["The recipes are in `glamor_cli/training/recipes.py`."]
    lines += [f"`{name}` {does}" for name, does in RECIPES.items() if name in used]
    if any(training.is_mean for training in trainings):
        lines.append(MEANS)
    lines += [told for recipe, told in TEACHERS.items() if recipe in used]
    lines.append(
        "The first convolution is tied to brightness, so that a colour picture gets the answer of "
        "its gray copy."
    )
    return textwrap.fill(" ".join(lines), 100, break_on_hyphens=False, break_long_words=False)


def _table(trainings: list[Training]) -> str:
    """Sum up each training in a row."""
    rows = [
        "| run | recipe | seed | epochs | accuracy on validation | hours |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {each.name} | {each.recipe} | {each.seed} | {each.epochs} | {each.accuracy:.2%} "
        f"| {'' if each.hours is None else f'{each.hours:.2f}'} |"
        for each in trainings
        if each.recipe is not None
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    main()
