"""How much the demo does. Free of torch, for the command line."""

from dataclasses import dataclass, field
from pathlib import Path

from glamor_cli.ablation.options import SEEDS
from glamor_cli.data.options import SceneConfig
from glamor_cli.runtimes.options import Device
from glamor_cli.settings import require_positive, require_seeds, settle_choices, settle_paths


@dataclass(frozen=True)
class DemoConfig:
    """How much the demo does, and where.

    Attributes:
        folder: Where everything is left.
        full: Train all of the paper's variants over several seeds, which takes hours.
        scenes: How many scenes of each split.
        epochs: Of the one training.
        full_scenes: How many scenes of each split the ablation uses.
        seeds: Of the ablation.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None takes every core.

    Raises:
        ConfigError: There is no such device, less than one epoch, or no seeds or one out of bounds.
    """

    folder: Path = Path("glamor-demo")
    full: bool = False
    scenes: SceneConfig = field(
        default_factory=lambda: SceneConfig(train=2100, validation=112, test=350)
    )
    epochs: int = 3
    full_scenes: SceneConfig = field(
        default_factory=lambda: SceneConfig(train=3360, validation=210, test=700)
    )
    seeds: tuple[int, ...] = tuple(range(SEEDS))
    device: str = Device.AUTO
    threads: int | None = None

    def __post_init__(self) -> None:
        settle_paths(self, "folder")
        settle_choices(self, device=Device)
        require_positive(self.epochs, "the number of epochs", "epochs")
        require_seeds(self.seeds)
