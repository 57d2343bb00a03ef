"""The work of a training run: epochs of steps, judged on validation, saved at every stop."""

import copy
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glamor_cli.data.batches.augment import to_float
from glamor_cli.data.batches.draws import Draws, seed_step
from glamor_cli.data.batches.synthetic_contexts import replace_contexts
from glamor_cli.data.batches.training_batches import Batch, TrainingBatches
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.atomic import write_text
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.gray import see_in_gray
from glamor_cli.training.average import move_average, start_average
from glamor_cli.training.candidates import CANDIDATES, candidate_path, keep_candidate
from glamor_cli.training.checkpoints import (
    RunState,
    has_checkpoint,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
    set_aside,
)
from glamor_cli.training.config import (
    CONFIG,
    METRICS,
    TrainConfig,
    check_same_config,
    describe_lasting,
    write_config,
)
from glamor_cli.training.curves import CURVES, save_curves
from glamor_cli.training.epoch_metrics import EpochMetrics, best_epoch
from glamor_cli.training.find_teacher import find_teacher, lacks_teacher
from glamor_cli.training.interrupts import StopRequest
from glamor_cli.training.live_report import LIVE_REPORT, write_live_report
from glamor_cli.training.optimizers import make_optimizer
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.progress import Progress, TrainResult
from glamor_cli.training.schedule import learning_rate
from glamor_cli.training.shared_batch import share_batches, sum_gradients
from glamor_cli.training.splits import choose_rows, describe_learnt
from glamor_cli.training.start import make_network
from glamor_cli.training.teacher import Teacher
from glamor_cli.training.validation import resize, validate
from glamor_cli.training.world import World
from glamor_cli.vision.geometry import Geometry
from glamor_cli.weights.metadata import Metadata, join_learnt
from glamor_cli.weights.network_file import read_metadata, save_network


class Run:
    """A run: its network, its optimiser, and how far it is.

    The randomness of a step follows from the seed and the step's number alone. So a run that was
    stopped anywhere and resumed computes what an undisturbed one would have.

    Args:
        config: What to do, its precision settled.
        world: The processes that do it together.
    """

    def __init__(self, config: TrainConfig, world: World) -> None:
        # What lock_run gives, called before weights are written.
        self.require_in_place: Callable[[], None] = lambda: None
        self.config, self.recipe = config, config.recipe
        self.world, self.device = world, world.device
        self.with_contexts = config.network.variant.has_context
        self._open_pairs()
        self._build_network()
        self._describe_learnt()
        self.state = RunState()

    def _open_pairs(self) -> None:
        """Open the store: the batches to learn from, and the pairs to judge by."""
        config = self.config
        store = PairStore.open(config.store)
        self.store, self.classes = store, tuple(store.info.classes)
        rows, self.validation, self.validation_rows = choose_rows(store, config)
        self.batches = TrainingBatches(
            store.split(config.train_split),
            rows,
            self.recipe.batch_size,
            config.seed,
            with_contexts=self.with_contexts,
            share=self.recipe.epoch_share,
            mix=self.recipe.mix,
            rank=self.world.rank,
            size=self.world.size,
        )
        if config.network.classes != len(self.classes):
            raise ConfigError(
                f"{config.store} has {len(self.classes)} classes, but the network "
                f"{config.network.classes}",
                "Train with a network of as many classes as the store.",
            )

    def _build_network(self) -> None:
        """Make the network as it is before the first step, and what teaches and moves it."""
        self.network = make_network(self.config, self.classes)
        self.model: torch.nn.Module = self.network
        self.teacher = self._find_teacher()
        self.shared = share_batches(self.network, self.world) if self.world.shared else None
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.recipe, self.network)
        self.average = start_average(self.network) if self.recipe.ema_decay else None

    def _find_teacher(self) -> Teacher | None:
        if self.config.teacher is None:
            # A run begun without any goes on.
            if lacks_teacher(self.config, self.store) and not has_checkpoint(self.config.run):
                raise ConfigError(
                    f"the recipe {self.recipe.name} learns from a teacher's answers, and there is "
                    "no teacher",
                    "Give one with --teacher, or a store whose soft labels are such answers.",
                )
            return None
        return find_teacher(
            self.config.teacher,
            self.classes,
            with_contexts=self.with_contexts,
            device=self.device,
            threads=self.config.threads,
        )

    def _describe_learnt(self) -> None:
        """Note which splits it learns from, through its initial weights and its teacher too."""
        others: list[Metadata | None] = []
        if self.config.initial_weights is not None:
            others.append(read_metadata(self.config.initial_weights))
        if self.teacher is not None:
            others.append(self.teacher.metadata)
        earlier, self.learnt_all = join_learnt(others)
        own = describe_learnt(self.store, self.config)
        self.learnt_from = tuple(dict.fromkeys((own, *earlier)))

    def foundations(self) -> dict[str, object]:
        """What the processes of a training must have in common for their work to fit together."""
        train_labels = self.batches.split.labels[self.batches.rows]
        return {
            "torch's version": torch.__version__,
            # Named before the settings: the same command may choose another on another machine.
            "precision, which auto chooses by the hardware": self.config.precision,
            "settings": describe_lasting(self.config, self.store),
            "the pairs to learn from": train_labels.tolist(),
            "the pairs to judge by": self.validation.labels[self.validation_rows].tolist(),
        }

    def begin(self, on_damaged: Callable[[Path, str], None]) -> None:
        """Go to where the run's checkpoint is, if there is one, or begin its folder."""
        run = self.config.run
        if self.world.leads:
            remove_leftovers(run, CANDIDATES, CONFIG, METRICS, CURVES, LIVE_REPORT)
        if has_checkpoint(run):
            check_same_config(self.config, self.store)

            def put_aside(checkpoint: Path, reason: str) -> None:
                if self.world.leads:
                    set_aside(checkpoint)
                    on_damaged(checkpoint, reason)

            self.state = load_checkpoint(run, self.network, self.average, self.optimizer, put_aside)
            if self.world.leads:
                # A kill may have come between the checkpoint and these.
                keep_candidate(run, self.state.best_epoch)
                if self.state.history:
                    self._write_history()
        elif self.world.leads:
            keep_candidate(run, None)
            write_config(self.config, self.store, self.validation.name)

    def go(self, on_progress: Callable[[Progress], None]) -> TrainResult:
        """Run the epochs that are left."""
        if self.world.shared:
            self.model = sum_gradients(self.network)
        try:
            with StopRequest(patient=self.world.shared) as stop:
                while self.state.epoch < self.recipe.epochs:
                    if not self._epoch(stop, on_progress):
                        self._save()
                        return self._result(finished=False, stopped=True)
                    self._finish_epoch()
        finally:
            # It would keep the processes connected for as long as anybody keeps this run.
            self.model = self.network
            self._tell_of_stop()
        return self._result(finished=True, stopped=stop.requested)

    def _epoch(self, stop: StopRequest, on_progress: Callable[[Progress], None]) -> bool:
        """Run the rest of an epoch; False where a stop was asked for."""
        self.network.train()
        if self.recipe.freeze_face and self.network.face_encoder is not None:
            self.network.face_encoder.eval()
        state, began = self.state, time.monotonic() - self.state.seconds
        saved = time.monotonic()
        for batch in self.batches.epoch(state.epoch, state.step):
            loss, right = self.world.total(*self._step(batch))
            state.step += 1
            state.loss_sum += loss
            state.correct += int(right)
            state.seen += batch.part.count
            state.seconds = time.monotonic() - began
            if not np.isfinite(loss):
                self.world.fail(_diverged("loss", loss, state))
            if self.world.leads:
                on_progress(self._progress())
            # All processes end after the same step, whichever of them was asked to.
            if any(self.world.total(stop.requested)):
                return False
            if time.monotonic() - saved >= self.config.checkpoint_every:
                self._save()
                saved = time.monotonic()
        return True

    def _step(self, batch: Batch) -> tuple[float, int]:
        """Learn from one batch; gives the sum of the losses here and how many were right."""
        faces, contexts = self._augment(batch, self._seed_step(batch))
        targets = batch.targets.to(self.device)
        done = self.state.epoch * len(self.batches) + self.state.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, done, len(self.batches))

        mixed = self.config.precision is TrainPrecision.BF16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
            logits = self.model(faces, contexts).logits.float()
            taught = targets
            if self.teacher is not None:
                taught = self.teacher.mix(targets, self.recipe.teacher_share, faces, contexts)
        loss = F.cross_entropy(logits, taught, label_smoothing=self.recipe.label_smoothing)
        # Gradients are averaged over the processes; the whole batch's are those of its mean loss.
        loss = loss * (self.world.size * len(batch.part) / batch.part.count)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        if self.average is not None:
            move_average(self.average, self.network, self.recipe.ema_decay, done)
        if batch.part.idle:
            return 0.0, 0
        # As validation counts it: a soft label's largest share may be of another class.
        right = int((logits.argmax(1) == batch.labels.to(self.device)).sum())
        return float(loss.detach()) * batch.part.count / self.world.size, right

    def _seed_step(self, batch: Batch) -> Draws:
        """Seed dropout and augmentation by the step's number, in all processes alike."""
        if self.shared is not None:
            self.shared.part = batch.part
        part = batch.part if self.world.shared else None
        return seed_step(self.config.seed, self.state.epoch, self.state.step, part)

    def _augment(self, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Make the inputs of a training step."""
        face_size = self.recipe.face_size(self.state.epoch)
        faces = resize(to_float(batch.faces.to(self.device)), face_size)
        faces = self.recipe.face(faces, draws)
        if batch.contexts is None:
            contexts = faces  # never looked at: there is no context stream
        else:
            contexts = self.recipe.context(to_float(batch.contexts.to(self.device)), draws)
            contexts = replace_contexts(contexts, self.recipe.synthetic_contexts, draws)
        return (
            faces.contiguous(memory_format=torch.channels_last),
            contexts.contiguous(memory_format=torch.channels_last),
        )

    def _finish_epoch(self) -> None:
        """Judge on validation, keep the best, and write everything down."""
        state, judged = self.state, self._judged()
        size = self.recipe.face_size(state.epoch)
        loss, accuracy = validate(judged, self.validation, self.validation_rows, size, self.world)
        if not np.isfinite(loss):
            # It must not be kept as the best: its answers are not finite.
            self.world.fail(_diverged("validation loss", loss, state))
        last_step = (state.epoch + 1) * len(self.batches) - 1
        metrics = EpochMetrics(
            epoch=state.epoch + 1,
            train_loss=state.loss_sum / max(1, state.seen),
            train_accuracy=state.correct / max(1, state.seen),
            validation_loss=loss,
            validation_accuracy=accuracy,
            learning_rate=learning_rate(self.recipe, last_step, len(self.batches)),
            seconds=round(state.seconds, 3),
            images_per_second=round(state.seen / max(state.seconds, 1e-9), 2),
        )
        state.history.append(metrics)
        rivals = [metrics] if self._kept is None else [self._kept, metrics]
        if best_epoch(rivals, self.recipe) is metrics:
            if self.world.leads:
                self.require_in_place()
                candidate = candidate_path(self.config.run, state.epoch)
                save_network(candidate, judged, self._metadata(accuracy))
            state.best_accuracy, state.best_epoch = accuracy, state.epoch
        state.epoch, state.step = state.epoch + 1, 0
        state.loss_sum, state.correct, state.seen, state.seconds = 0.0, 0, 0, 0.0
        if self.world.leads:
            self._save()
            # Only now: a run that was killed before the checkpoint knows nothing of these weights.
            keep_candidate(self.config.run, state.best_epoch)
            self._write_history()

    def _write_history(self) -> None:
        """Write the metrics of the finished epochs, and draw them."""
        state = self.state
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in state.history)
        write_text(self.config.run / METRICS, lines)
        title = f"{self.recipe.name}, {self.config.network.encoder}, {self.config.network.variant}"
        save_curves(self.config.run / CURVES, state.history, title, self._kept)
        write_live_report(self.config, state.history, self._kept, self._judged_by)

    @property
    def _kept(self) -> EpochMetrics | None:
        """The epoch whose weights are kept, if any; older versions broke ties otherwise."""
        best = self.state.best_epoch
        return self.state.history[best] if best >= 0 else None

    def _tell_of_stop(self) -> None:
        """Say so in the page of a run that ends early, which would reload itself for ever."""
        done = self.state.epoch
        if self.world.leads and 0 < done < self.recipe.epochs:
            # What ended the run is what matters, such as a full disk.
            with suppress(ConfigError):
                self.require_in_place()
                history = self.state.history[:done]
                write_live_report(self.config, history, self._kept, self._judged_by, stopped=True)

    def _judged(self) -> GlamorNet:
        """The network that is judged and kept: the moving average where there is one."""
        ties = self.recipe.see_in_gray and not self.recipe.freeze_face
        if self.average is None and not ties:
            return self.network
        judged = copy.deepcopy(self.network)
        if self.average is not None:
            judged.load_state_dict(self.average, strict=False)
        if ties and judged.face_encoder is not None:
            see_in_gray(judged.face_encoder)
        return judged

    def _metadata(self, accuracy: float) -> Metadata:
        return Metadata(
            name=self.config.run.resolve().name,
            network=self.network.config,
            classes=self.classes,
            geometry=Geometry.of(official_jpeg=self.store.info.official_jpeg),
            training_data=f"{self.config.store.resolve().name}, split {self.config.train_split}",
            accuracy={"validation": accuracy},
            learnt_from=self.learnt_from,
            learnt_all=self.learnt_all,
            chosen_by=self.store.info.source[self.validation.name].sha256,
        )

    def _save(self) -> None:
        if not self.world.leads:
            return
        self.require_in_place()
        save_checkpoint(self.config.run, self.state, self.network, self.average, self.optimizer)

    def _progress(self) -> Progress:
        state = self.state
        last = state.history[-1].validation_accuracy if state.history else None
        return Progress(
            epoch=state.epoch + 1,
            epochs=self.recipe.epochs,
            step=state.step,
            steps=len(self.batches),
            loss=state.loss_sum / state.seen,
            accuracy=state.correct / state.seen,
            images_per_second=state.seen / max(state.seconds, 1e-9),
            validation_accuracy=last,
        )

    def _result(self, *, finished: bool, stopped: bool) -> TrainResult:
        state, best = self.state, self.state.best_epoch + 1
        return TrainResult(
            finished, state.best_accuracy, best, state.epoch, self._judged_by, stopped
        )

    @property
    def _judged_by(self) -> str:
        """What validation is on, in words."""
        split = self.validation.name
        return f"a tenth of {split}" if split == self.config.train_split else split


def _diverged(what: str, loss: float, state: RunState) -> DataError:
    return DataError(
        f"the {what} is {loss} in epoch {state.epoch + 1}, step {state.step}",
        "Train again in another folder with --run, with a smaller --lr or --precision fp32.",
    )
