"""``glamor ablate``: the paper's ablations on a pair store, as one resumable command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from glamor_cli.cli.render import INTERRUPTED, console, progress_bar
from glamor_cli.network.config import Encoder, Variant
from glamor_cli.training.recipe_names import RecipeName

if TYPE_CHECKING:
    from glamor_cli.training.ablation import VariantResult
    from glamor_cli.training.trainer import Progress


def ablate(
    store: Annotated[Path, typer.Argument(help="Pair store made by glamor preprocess.")],
    run: Annotated[Path, typer.Option(help="Folder for all runs.")] = Path("runs/ablation"),
    recipe: Annotated[RecipeName, typer.Option(help="How to learn.")] = RecipeName.MODERN,
    network: Annotated[Encoder, typer.Option(help="The encoders.")] = Encoder.ORIGINAL,
    variant: Annotated[
        list[Variant] | None, typer.Option(help="Only these variants; repeat it for several.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each variant.")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    test_split: Annotated[str, typer.Option(help="Split to judge by.")] = "test",
    scenes: Annotated[
        Path | None, typer.Option(help="Folder of generated scenes: measures the attention too.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """Train the whole network and its ablations alike, and compare them on the test split."""
    from glamor_cli.data.scenes import read_cues
    from glamor_cli.network.config import NetworkConfig
    from glamor_cli.training.ablation import AblationConfig
    from glamor_cli.training.ablation import ablate as run_ablation
    from glamor_cli.training.config import TrainConfig
    from glamor_cli.training.recipes import find_recipe

    config = AblationConfig(
        training=TrainConfig(
            store=store,
            run=run,
            recipe=find_recipe(recipe, epochs=epochs),
            network=NetworkConfig(encoder=network),
            device=device,
            threads=threads,
        ),
        variants=tuple(variant or Variant),
        seeds=tuple(range(seeds)),
        test_split=test_split,
        cues=None if scenes is None else read_cues(scenes),
    )
    with progress_bar("images") as bar:
        task = bar.add_task("starting", total=None, rate="-")

        def show(trained: Variant, seed: int, progress: "Progress") -> None:
            bar.update(
                task,
                description=f"{trained}, seed {seed}: loss {progress.loss:.3f}",
                total=progress.epochs * progress.steps,
                completed=(progress.epoch - 1) * progress.steps + progress.step,
                rate=f"{progress.images_per_second:.1f}",
            )

        table = run_ablation(config, on_progress=show)
    if table is None:
        console.print("stopped; what is trained is kept")
        console.print("Run the same command again: it goes on from here.")
        raise typer.Exit(INTERRUPTED)
    console.print(_render(table))


def _render(lines: "list[VariantResult]") -> Table:
    table = Table("variant")
    for heading in ("accuracy", "deviation", "seeds", "attention at the cue"):
        table.add_column(heading, justify="right")
    for line in lines:
        table.add_row(
            line.variant,
            f"{line.mean:.1%}",
            f"{line.deviation:.1%}",
            str(len(line.accuracies)),
            "-" if line.near_cue is None else f"{line.near_cue:.1%}",
        )
    return table
