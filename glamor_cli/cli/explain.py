"""``glamor explain``: one picture that shows what the network saw of one person."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, say
from glamor_cli.cli.runtime_options import (
    DetectorOption,
    DeviceOption,
    FacesProviderOption,
    LongSideOption,
    MinScoreOption,
    ThreadsOption,
    WeightsOption,
)
from glamor_cli.errors import ConfigError
from glamor_cli.predict.saved_names import SAVED_EXPLANATION, has_mark, saved_name
from glamor_cli.rendering.figure_files import check_picture
from glamor_cli.runtimes.options import Device
from glamor_cli.vision.options import DEFAULT_DETECTOR
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="A photograph.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="The picture to write (.png, .svg, .pdf); default: <image>-explained.png, here."
        ),
    ] = None,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    face: Annotated[int, typer.Option(min=1, help="Which face; 1 is the most confident.")] = 1,
    detector: DetectorOption = DEFAULT_DETECTOR,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    provider: FacesProviderOption = None,
    min_score: MinScoreOption = None,
    long_side: LongSideOption = None,
) -> None:
    """Show one person's answer: attention, streams, second choice, and what hiding changes."""
    target = output or Path(saved_name(Path(image), SAVED_EXPLANATION))
    replaces = has_mark(target)
    if output is None and target.exists() and not replaces:
        raise ConfigError(
            f"{target} already exists and was not made by glamor explain",
            "Give another name with --output.",
        )
    check_picture(target, "--output")
    require_writable(target, sources=[Path(image)])
    with console.status("looking"):
        # Late, because drawing and engines take longer to import than --help may.
        from glamor_cli.predict.explain import explain as explain_image
        from glamor_cli.predict.predictor import PredictConfig
        from glamor_cli.rendering.explanation import save_explanation

        config = PredictConfig(
            weights=weights,
            detector=detector,
            device=device,
            threads=threads,
            provider=provider,
            min_score=min_score,
            long_side=long_side,
        )
        explanation = explain_image(image, config, face)
        save_explanation(target, explanation)
    best = explanation.face.emotion
    say(
        f"{explanation.classes[best]} {explanation.face.probabilities[best]:.1%}, "
        f"face {explanation.number} of {explanation.faces}: {target}"
    )
    if replaces:
        say("1 picture of earlier runs was replaced")
