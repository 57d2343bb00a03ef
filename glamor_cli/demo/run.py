"""Every step on generated scenes and one real photograph: `glamor demo`.

Every stage leaves its files in one folder, and a demo that was stopped goes on from there.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from glamor_cli.ablation.run import PICTURE, AblationConfig, ablate
from glamor_cli.ablation.table import VariantResult
from glamor_cli.bench.options import Backend, BenchConfig, BenchResult, Target
from glamor_cli.bench.run import run_bench
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.demo.options import DemoConfig
from glamor_cli.errors import BackendUnavailable, ConfigError, GlamorError
from glamor_cli.evaluation.attention.cues import find_cues
from glamor_cli.evaluation.attention.measure import measure_attention
from glamor_cli.evaluation.evaluate import EvaluateConfig, evaluate_store
from glamor_cli.evaluation.report import CONFUSION, REPORT, write_report
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import ExportConfig
from glamor_cli.files.atomic import write_text
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.files.kinds import holds_visible
from glamor_cli.predict.predictor import PredictConfig, predict_images
from glamor_cli.rendering.annotate import PictureFolder
from glamor_cli.runtimes.torch import choose_device
from glamor_cli.system.torchrun import processes
from glamor_cli.training.config import BEST, TrainConfig
from glamor_cli.training.curves import CURVES
from glamor_cli.training.progress import Progress
from glamor_cli.training.recipes import SCENES
from glamor_cli.training.trainer import begin_or_resume
from glamor_cli.vision.image_files import find_photograph

_MARK = ".glamor-demo"
_WAIT = "Wait until it has finished, or choose another folder with --output."


@dataclass(frozen=True)
class Stage:
    """What one stage did.

    Attributes:
        name: A verb or two.
        seconds: What it took.
        outcome: One line.
        pictures: Pictures worth opening.
    """

    name: str
    seconds: float
    outcome: str
    pictures: tuple[Path, ...] = ()


@dataclass(frozen=True)
class DemoCallbacks:
    """What the stages tell while they work.

    Attributes:
        begin: Called with a stage's name when it begins.
        done: Called with a stage's result.
        progress: Called with a line and the share of the stage that is done, from 0 to 1.
    """

    begin: Callable[[str], None]
    done: Callable[[Stage], None]
    progress: Callable[[str, float], None]


def demo(config: DemoConfig, callbacks: DemoCallbacks) -> bool:
    """Run every step, from scenes to answers on a photograph.

    Args:
        config: How long it is.
        callbacks: Whom to tell.

    Returns:
        False where a stop was asked for; the same call goes on from there.

    Raises:
        ConfigError: The folder holds something else, another process runs a demo in it, or torchrun
            started several processes.
        BackendUnavailable: The device is not here.
        GlamorError: As the stages do.
    """
    if processes() > 1:
        raise ConfigError(
            f"torchrun started {processes()} processes for one demo",
            "Start glamor demo without torchrun.",
        )
    choose_device(config.device)  # before scenes are drawn for it
    _claim(config.folder)
    try:
        with lock_folder(config.folder, "running a demo in", _WAIT):
            return _Road(config, callbacks).go()
    except GlamorError as error:
        if "--run" not in error.remedy:
            raise
        # Trainings advise to choose their folder, which lies in the demo's.
        raise type(error)(error.what, error.remedy.replace("--run", "--output")) from error


class _Road:
    """The stages, one method each, in their order."""

    def __init__(self, config: DemoConfig, callbacks: DemoCallbacks) -> None:
        self.config, self.callbacks = config, callbacks
        root = config.folder
        self.scenes, self.pairs, self.run = root / "scenes", root / "pairs", root / "run"
        self.weights, self.exported = root / "run" / BEST, root / "run" / "scenes.onnx"

    def go(self) -> bool:
        """Take every stage; False where a stop was asked for."""
        self._draw(self.scenes, self.config.scenes)
        self._preprocess(self.scenes, self.pairs)
        if not self._train():
            return False
        self._evaluate()
        self._export()
        self._bench()
        self._predict()
        return not self.config.full or self._ablate()

    def _draw(self, out: Path, scenes: SceneConfig) -> None:
        total = sum(scenes.counts.values())
        with self._stage("draw scenes") as report:
            if not out.exists():
                make_scenes(
                    out, scenes, progress=lambda done: self._tell("drawing scenes", done, total)
                )
            report(f"{total} scenes with box files in {out}")

    def _preprocess(self, scenes: Path, out: Path) -> None:
        config = PreprocessConfig(scenes, out)
        with self._stage("preprocess") as report:
            result = preprocess(
                config,
                on_progress=lambda now: self._tell("making pairs", now.read, now.total),
            )
            report(f"{result.stored} face/context pairs in {out}")

    def _train(self) -> bool:
        config = TrainConfig(
            store=self.pairs,
            run=self.run,
            recipe=replace(SCENES, epochs=self.config.epochs),
            device=self.config.device,
            threads=self.config.threads,
        )
        with self._stage("train") as report:
            result = begin_or_resume(config, on_progress=self._tell_training)
            if result.finished:
                report(
                    f"{result.best_accuracy:.1%} on validation after {result.epochs} epochs",
                    self.run / CURVES,
                )
            else:
                report("stopped, and saved")
        return not result.stopped

    def _evaluate(self) -> None:
        out = self.config.folder / "report"
        config = EvaluateConfig(
            self.pairs,
            self.weights,
            split="test",
            device=self.config.device,
            threads=self.config.threads,
        )
        with self._stage("evaluate") as report:
            result = evaluate_store(
                config, lambda done, total: self._tell("evaluating", done, total)
            )
            evaluation = result.evaluation
            write_report(out, result)
            cues = find_cues(PairStore.open(self.pairs).split(result.split), self.scenes)
            looked = measure_attention(evaluation.attention, cues)
            report(
                f"{evaluation.metrics.accuracy:.1%} of {evaluation.metrics.count} test scenes; "
                f"attention peaks within a cell of the deciding disc in {looked.near_cue:.1%}",
                out / CONFUSION,
                out / REPORT,
            )

    def _export(self) -> None:
        with self._stage("export") as report:
            # The figures that matter are compared on the pairs the network has not seen.
            config = ExportConfig(verify=self.pairs, threads=self.config.threads)
            result = export_onnx(self.weights, self.exported, config)
            difference = max(check.max_abs_diff for check in result.batches)
            report(f"{self.exported}, at most {difference:.1e} away from torch")

    def _bench(self) -> None:
        config = BenchConfig(
            targets=(Target.CORE, Target.NETWORK),
            backends=(Backend.EAGER, Backend.ORT),
            weights=self.weights,
            device=self.config.device,
            threads=self.config.threads,
            seconds=0.5,
        )
        with self._stage("measure") as report:
            report(_headline(run_bench(config)))

    def _predict(self) -> None:
        out = self.config.folder / "photograph"
        photograph = find_photograph()
        if photograph is None:
            raise BackendUnavailable(
                "the demo's photograph comes with scikit-image, which is not installed",
                "Install it with: pip install scikit-image",
            )
        with self._stage("predict") as report:
            pictures = PictureFolder(out)
            config = PredictConfig(
                device=self.config.device, threads=self.config.threads, keep_images=True
            )
            (image,) = predict_images([photograph], config)
            saved = pictures.save(image)
            face = image.faces[0]
            best = face.probabilities.argmax()
            report(
                f"{image.classes[best]} ({face.probabilities[best]:.0%}) in {photograph.name}, "
                f"the face weighing {face.stream_weights[0]:.0%}",
                *([saved] if saved else []),
            )

    def _ablate(self) -> bool:
        root = self.config.folder / "ablation"
        scenes, pairs = root / "scenes", root / "pairs"
        self._draw(scenes, self.config.full_scenes)
        self._preprocess(scenes, pairs)
        config = AblationConfig(
            training=TrainConfig(
                store=pairs,
                run=root / "runs",
                recipe=SCENES,
                device=self.config.device,
                threads=self.config.threads,
            ),
            seeds=self.config.seeds,
            scenes=scenes,
        )
        with self._stage("ablate") as report:
            table = ablate(
                config,
                on_progress=lambda variant, seed, now: self._tell_training(
                    now, f"{variant}, seed {seed}: "
                ),
            )
            if table is None:
                report("stopped")
            else:
                report(_table_line(table), config.training.run / PICTURE)
        return table is not None

    @contextmanager
    def _stage(self, name: str) -> Iterator[Callable[..., None]]:
        """Time a stage; the block calls what it is given with the outcome and pictures."""
        self.callbacks.begin(name)
        started = time.perf_counter()
        outcome: list[str] = []
        pictures: list[Path] = []

        def report(line: str, *shown: Path) -> None:
            outcome.append(line)
            pictures.extend(shown)

        yield report
        seconds = time.perf_counter() - started
        self.callbacks.done(Stage(name, seconds, "; ".join(outcome), tuple(pictures)))

    def _tell(self, line: str, done: int, total: int) -> None:
        self.callbacks.progress(line, done / total)

    def _tell_training(self, now: Progress, prefix: str = "") -> None:
        self._tell(
            f"{prefix}epoch {now.epoch}/{now.epochs}, loss {now.loss:.2f}, "
            f"{now.accuracy:.0%} right, {now.images_per_second:.0f} images/s",
            now.done,
            now.total,
        )


def _claim(folder: Path) -> None:
    """Take an empty folder, or one that an earlier demo marked as its own."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder", "Choose a folder with --output.")
    if folder.exists() and not (folder / _MARK).exists() and holds_visible(folder):
        raise ConfigError(
            f"{folder} holds other files", "Choose an empty or new folder with --output."
        )
    write_text(folder / _MARK, "made by glamor demo\n")


def _headline(result: BenchResult) -> str:
    """Say which engine answered most pairs a second, and at which batch."""
    rows = [row for row in result.rows if row.what is Target.NETWORK and row.images_per_second]
    best = max(rows, key=lambda row: row.images_per_second or 0)
    return (
        f"{best.backend} on {best.device}: {best.images_per_second:.0f} pairs/s "
        f"at batch {best.batch}"
    )


def _table_line(table: list[VariantResult]) -> str:
    return ", ".join(f"{line.variant} {line.mean:.1%}" for line in table)
