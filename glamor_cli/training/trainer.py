"""The training run: epochs of steps, judged on validation, resumable at every step.

The randomness of a step follows from the seed and the step's number alone. So a run that was
stopped anywhere and resumed computes what an undisturbed one would have.
"""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.atomic import write_text
from glamor_cli.data.augment import to_float
from glamor_cli.data.batches import Batch, TrainingBatches
from glamor_cli.data.store import PairStore
from glamor_cli.data.synthetic_contexts import replace_contexts
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.network.config import FACE_SIZE, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.gray import see_in_gray
from glamor_cli.training.average import move_average, start_average
from glamor_cli.training.checkpoints import (
    Place,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from glamor_cli.training.config import TrainConfig, check_same_config, write_config
from glamor_cli.training.curves import draw_curves
from glamor_cli.training.interrupts import StopRequest
from glamor_cli.training.keras_init import initialise_like_keras
from glamor_cli.training.live_report import write_live_report
from glamor_cli.training.memory import keep_freed_memory
from glamor_cli.training.optimizers import make_optimizer
from glamor_cli.training.precision import autocast_dtype, choose_device
from glamor_cli.training.recipes import Optimizer
from glamor_cli.training.rows import choose_rows
from glamor_cli.training.schedule import learning_rate
from glamor_cli.training.start import freeze_face, set_norm_momentum, take_over
from glamor_cli.weights import Metadata, save_network

BEST = "best.safetensors"
METRICS = "metrics.jsonl"
CURVES = "curves.png"

_CHECKPOINT_SECONDS = 300.0
"""Longest stretch of work that a power cut can cost."""
_VALIDATION_BATCH = 64


@dataclass(frozen=True)
class Progress:
    """Where a run is, told after every step.

    Attributes:
        epoch: The epoch in progress, from 1.
        epochs: How many there are.
        step: Steps of the epoch that are done.
        steps: How many an epoch has.
        loss: Mean over the epoch so far.
        accuracy: Share of the epoch's training pairs so far that were right.
        images_per_second: Over the epoch so far.
        validation_accuracy: Of the last finished epoch; None before.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float
    validation_accuracy: float | None


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        finished: False where it was asked to stop; it can be resumed.
        best_accuracy: On validation; -1 where no epoch was finished.
        best_epoch: Where it was reached, from 1.
        epochs: How many were finished.
    """

    finished: bool
    best_accuracy: float
    best_epoch: int
    epochs: int


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> TrainResult:
    """Train a network on a pair store.

    The run's folder receives ``config.json``, ``metrics.jsonl`` (a line an epoch), ``curves.png``,
    ``training.html`` (the curves again, reloading itself),
    ``best.safetensors`` (what every command takes as ``--weights``) and the checkpoint. SIGINT and
    SIGTERM end it after the step in progress, with everything saved.

    Args:
        config: What to do.
        resume: Go on with the run in the folder.
        on_progress: Called after every step.

    Raises:
        ConfigError: The folder holds another run, or settings that cannot work.
        DataError: The store cannot be used.
        CheckpointError: The checkpoint or the initial weights cannot be used.
        BackendUnavailable: The device is not here.
    """
    return _Run(config, resume=resume).go(on_progress)


class _Run:
    """A run's state: the network, its optimiser and its place."""

    def __init__(self, config: TrainConfig, *, resume: bool) -> None:
        self.config, self.recipe = config, config.recipe
        if has_checkpoint(config.run) and not resume:
            raise ConfigError(
                f"{config.run} already holds a run",
                "Add --resume to go on with it, or choose another folder with --run.",
            )
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.device = choose_device(config.device)
        self.autocast = autocast_dtype(
            config.precision, self.device, mixed=self.recipe.mixed_precision
        )
        if self.device.type == "cpu":
            keep_freed_memory()

        if self.recipe.face_size(self.recipe.epochs - 1) != FACE_SIZE:
            raise ConfigError(
                f"none of the {self.recipe.epochs} epochs would see faces at full size",
                "Train for more epochs.",
            )
        store = PairStore.open(config.store)
        self.classes = tuple(store.info.classes)
        rows, self.validation, self.validation_rows = choose_rows(store, config)
        self.with_contexts = config.network.variant is not Variant.FACE_ONLY
        self.batches = TrainingBatches(
            store.split(config.train_split),
            rows,
            self.recipe.batch_size,
            config.seed,
            with_contexts=self.with_contexts,
            share=self.recipe.epoch_share,
        )
        if config.network.classes != len(self.classes):
            raise ConfigError(
                f"{config.store} has {len(self.classes)} classes, the network "
                f"{config.network.classes}",
                "Train with a network of as many classes as the store.",
            )

        torch.manual_seed(config.seed)
        dropout = config.network.dropout if self.recipe.dropout is None else self.recipe.dropout
        self.network = GlamorNet(replace(config.network, dropout=dropout))
        if self.recipe.optimizer is Optimizer.KERAS_SGD:
            initialise_like_keras(self.network)
        if config.initial_weights is not None:
            take_over(self.network, config.initial_weights)
        set_norm_momentum(self.network, self.recipe)
        if self.recipe.freeze_face:
            freeze_face(self.network)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.recipe, self.network)
        self.average = start_average(self.network) if self.recipe.ema_decay else None
        self.place = Place()
        if resume and has_checkpoint(config.run):
            check_same_config(config)
            self.place = load_checkpoint(config.run, self.network, self.average, self.optimizer)
        else:
            write_config(config)

    def go(self, on_progress: Callable[[Progress], None]) -> TrainResult:
        """Run the epochs that are left."""
        with StopRequest() as stop:
            while self.place.epoch < self.recipe.epochs:
                if not self._epoch(stop, on_progress):
                    self._save()
                    return self._result(finished=False)
                self._finish_epoch()
        return self._result(finished=True)

    def _epoch(self, stop: StopRequest, on_progress: Callable[[Progress], None]) -> bool:
        """Run the rest of an epoch; False where a stop was asked for."""
        self.network.train()
        if self.recipe.freeze_face and self.network.face_encoder is not None:
            self.network.face_encoder.eval()
        place, began = self.place, time.monotonic() - self.place.seconds
        saved = time.monotonic()
        for batch in self.batches.epoch(place.epoch, place.step):
            loss, correct = self._step(batch)
            place.step += 1
            place.loss_sum += loss * len(batch.faces)
            place.correct += correct
            place.seen += len(batch.faces)
            place.seconds = time.monotonic() - began
            on_progress(self._progress())
            if stop.requested:
                return False
            if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                self._save()
                saved = time.monotonic()
        return True

    def _step(self, batch: Batch) -> tuple[float, int]:
        """Learn from one batch; gives its mean loss and how many were right."""
        generator = self._seed_step()
        faces, contexts = self._augment(batch, generator)
        targets = batch.targets.to(self.device)
        done = self.place.epoch * len(self.batches) + self.place.step
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, done, len(self.batches))

        with torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        ):
            logits = self.network(faces, contexts).logits.float()
        loss = F.cross_entropy(logits, targets, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip)
        self.optimizer.step()
        if self.average is not None:
            move_average(self.average, self.network, self.recipe.ema_decay, done)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise DataError(
                f"the loss is {value} in epoch {self.place.epoch + 1}, step {self.place.step + 1}",
                "Lower the recipe's learning rate, or use --precision fp32.",
            )
        return value, int((logits.argmax(1) == targets.argmax(1)).sum())

    def _seed_step(self) -> torch.Generator:
        """Seed dropout and augmentation by the step's number."""
        entropy = (self.config.seed, self.place.epoch, self.place.step)
        first, second = np.random.SeedSequence(entropy).generate_state(2, np.uint64)
        torch.manual_seed(int(first))
        return torch.Generator().manual_seed(int(second))

    def _augment(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Make the inputs of a training step."""
        faces = self._resize(to_float(batch.faces.to(self.device)))
        faces = self.recipe.face(faces, generator)
        if batch.contexts is None:
            contexts = faces  # never looked at: there is no context stream
        else:
            contexts = self.recipe.context(to_float(batch.contexts.to(self.device)), generator)
            contexts = replace_contexts(contexts, self.recipe.synthetic_contexts, generator)
        return (
            faces.contiguous(memory_format=torch.channels_last),
            contexts.contiguous(memory_format=torch.channels_last),
        )

    def _resize(self, faces: Tensor) -> Tensor:
        """Shrink faces in the epochs that the recipe wants so."""
        size = self.recipe.face_size(self.place.epoch)
        if size == faces.shape[-1]:
            return faces
        return F.interpolate(faces, size=(size, size), mode="bilinear", align_corners=False)

    def _finish_epoch(self) -> None:
        """Judge on validation, keep the best, and write everything down."""
        place, judged = self.place, self._judged()
        loss, accuracy = self._validate(judged)
        place.history.append(
            {
                "epoch": place.epoch + 1,
                "train_loss": place.loss_sum / max(1, place.seen),
                "train_accuracy": place.correct / max(1, place.seen),
                "validation_loss": loss,
                "validation_accuracy": accuracy,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "seconds": round(place.seconds, 3),
                "images_per_second": round(place.seen / max(place.seconds, 1e-9), 2),
            }
        )
        full_size = self.recipe.face_size(place.epoch) == FACE_SIZE
        if full_size and accuracy > place.best_accuracy:
            place.best_accuracy, place.best_epoch = accuracy, place.epoch
            save_network(self.config.run / BEST, judged, self._metadata(accuracy))
        place.epoch, place.step = place.epoch + 1, 0
        place.loss_sum, place.correct, place.seen, place.seconds = 0.0, 0, 0, 0.0
        self._save()
        lines = "".join(json.dumps(entry) + "\n" for entry in place.history)
        write_text(self.config.run / METRICS, lines)
        title = f"{self.recipe.name}, {self.config.network.encoder}, {self.config.network.variant}"
        draw_curves(self.config.run / CURVES, place.history, title)
        write_live_report(self.config, place.history)

    def _judged(self) -> GlamorNet:
        """The network that is judged and kept: the moving average where there is one."""
        if self.average is None and not self.recipe.see_in_gray:
            return self.network
        judged = copy.deepcopy(self.network)
        if self.average is not None:
            judged.load_state_dict(self.average, strict=False)
        if self.recipe.see_in_gray and judged.face_encoder is not None:
            see_in_gray(judged.face_encoder)
        return judged

    def _validate(self, network: GlamorNet) -> tuple[float, float]:
        """Mean loss and accuracy on validation, in float32."""
        network.eval()
        loss, correct = 0.0, 0
        for start in range(0, len(self.validation_rows), _VALIDATION_BATCH):
            rows = self.validation_rows[start : start + _VALIDATION_BATCH]
            face_values, context_values = self.validation.pairs(rows)
            labels = torch.from_numpy(self.validation.labels[rows]).to(self.device)
            with torch.inference_mode():
                faces = self._resize(_to(face_values, self.device))
                logits = network(faces, _to(context_values, self.device)).logits
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            correct += int((logits.argmax(1) == labels).sum())
        count = len(self.validation_rows)
        return loss / count, correct / count

    def _metadata(self, accuracy: float) -> Metadata:
        return Metadata(
            name=self.config.run.name,
            network=self.network.config,
            classes=self.classes,
            training_data=f"{self.config.store.name}, split {self.config.train_split}",
            accuracy={"validation": accuracy},
        )

    def _save(self) -> None:
        save_checkpoint(self.config.run, self.place, self.network, self.average, self.optimizer)

    def _progress(self) -> Progress:
        place = self.place
        last = place.history[-1]["validation_accuracy"] if place.history else None
        return Progress(
            epoch=place.epoch + 1,
            epochs=self.recipe.epochs,
            step=place.step,
            steps=len(self.batches),
            loss=place.loss_sum / place.seen,
            accuracy=place.correct / place.seen,
            images_per_second=place.seen / max(place.seconds, 1e-9),
            validation_accuracy=last,
        )

    def _result(self, *, finished: bool) -> TrainResult:
        place = self.place
        return TrainResult(finished, place.best_accuracy, place.best_epoch + 1, place.epoch)


def _to(values: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, memory_format=torch.channels_last)
