"""On what networks are judged, and what runs them: the settings that all judging shares."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from glamor_cli.runtimes.options import PAIRS_AT_ONCE, Device, Provider
from glamor_cli.settings import require_positive, settle_choices, settle_paths


@dataclass(frozen=True)
class SplitConfig:
    """A split of a store, and how networks are asked about its pairs.

    Attributes:
        store: The pair store's folder.
        split: Which split; None takes the first of ``HELD_OUT_SPLITS``, else the only one besides
            train, and of it only what was held out where networks learnt from the rest.
        device: ``auto``, ``cpu`` or ``cuda``.
        batch: Pairs per step.
        threads: CPU threads; None leaves it to the engine. Torch, which runs
            ``.safetensors`` files, has one number for the whole process, and keeps it.
        provider: What runs ONNX files; None chooses by ``device``.

    Raises:
        ConfigError: No such device or provider, a batch of less than one pair, or less than one
            thread.
    """

    store: Path
    _: KW_ONLY
    split: str | None = None
    device: str = Device.AUTO
    batch: int = PAIRS_AT_ONCE
    threads: int | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        settle_paths(self, "store")
        settle_choices(self, device=Device, provider=Provider)
        require_positive(self.batch, "the batch size", "--batch")
        require_positive(self.threads, "the number of threads", "--threads")
