"""Kill ``glamor train`` at random moments, go on with ``--resume``, and compare with undisturbed.

A network of the face alone is trained on generated scenes by the real command. SIGKILL ends it at a
random moment: one in five before the first step, and two in five wait from their moment for a
checkpoint to be begun and fall into its writing. The command is given again with ``--resume`` until
the run is finished; then its metrics (without seconds and rates) and its kept weights must be those
of the undisturbed run to the bit. A new run is begun until there were enough kills:

    uv run python benchmarks/training_kills.py --kills 20

Writes ``benchmarks/results/training-kills-<hardware>.json``. It exits with 1 if a run differs.
"""

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recording import RESULTS, record
from safetensors import SafetensorError, safe_open

from glamor_cli.data.options import BoxSource, PairMaking, SceneConfig
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.files.reading import sha256
from glamor_cli.training.checkpoints import LAST, PREVIOUS
from glamor_cli.training.config import BEST, METRICS


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: How many processes were killed.
        before_training: Of these, those that had not begun to train.
        while_writing: Those that left a half-written file.
        runs: Finished runs that had been killed at least once.
        equal: Of these, those equal to the undisturbed one.
        kills_of_a_run: For each finished run.
        places: Finished epochs and steps of the next one that the checkpoint knew at each kill.
        damaged: Resumed runs that passed a damaged checkpoint over.
    """

    kills: int = 0
    before_training: int = 0
    while_writing: int = 0
    runs: int = 0
    equal: int = 0
    damaged: int = 0
    kills_of_a_run: list[int] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)


class Training:
    """The command, and the CPU seconds it takes undisturbed: to its first step, and from there."""

    BEGUN = "curves after each epoch"

    def __init__(self, options: argparse.Namespace, store: Path) -> None:
        recipe = ["--recipe", "modern", "--variant", "face-only", "--batch", "8"]
        machine = ["--threads", "1", "--device", "cpu"]
        often = ["--epochs", str(options.epochs), "--checkpoint-every", options.checkpoint_every]
        self.command = [sys.executable, "-m", "glamor_cli", "train", str(store)]
        self.command += [*recipe, *machine, *often]
        self.start_up = self.work = 0.0

    def start(self, run: Path) -> subprocess.Popen[bytes]:
        """Begin a run, or go on with it; what it says goes to a file."""
        run.parent.mkdir(exist_ok=True)
        with said(run).open("w") as output:
            return subprocess.Popen(
                [*self.command, "--run", str(run), "--resume"], stdout=output, stderr=output
            )

    def finish(self, run: Path) -> None:
        """Run undisturbed, and measure."""
        process, used = self.start(run), 0.0
        while process.poll() is None:
            used = cpu_seconds(process) or used
            if not self.has_begun(run):
                self.start_up = used
            time.sleep(0.01)
        self.work = used - self.start_up
        check(process, run)

    def has_begun(self, run: Path) -> bool:
        """Tell whether the process took its first step."""
        return self.BEGUN in said(run).read_text()


def main() -> int:
    """Make the pairs, kill, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=56, help="to train on")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--checkpoint-every", default="500ms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    chance, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scenes = SceneConfig(train=options.pairs, validation=14, test=7, scale=1)
        make_scenes(folder / "scenes", scenes)
        making = PairMaking(boxes=BoxSource.CROP_FILES)
        preprocess(PreprocessConfig(folder / "scenes", folder / "pairs", making, workers=1))
        training = Training(options, folder / "pairs")
        # Weights carry the name of their run's folder.
        training.finish(folder / "whole" / "run")
        expected = outcome(folder / "whole" / "run")
        for number in itertools.count():
            if tally.kills >= options.kills:
                break
            run = folder / str(number) / "run"
            kills = torture(training, run, options.kills, chance, tally)
            if not kills:
                continue
            tally.kills_of_a_run.append(kills)
            tally.runs += 1
            tally.equal += outcome(run) == expected
            print(f"{tally.kills} kills, {tally.equal} of {tally.runs} runs equal", flush=True)
    settings = {
        "pairs": options.pairs,
        "epochs": options.epochs,
        "checkpoint_every": options.checkpoint_every,
    }
    record("training-kills", {**settings, **asdict(tally)}, options.out)
    return 0 if tally.equal == tally.runs else 1


def torture(training: Training, run: Path, enough: int, chance: random.Random, tally: Tally) -> int:
    """Kill and go on until a run is finished, or there were enough kills.

    Returns:
        How many of its processes were killed.
    """
    kills = 0
    while tally.kills < enough:
        process = training.start(run)
        # In CPU seconds, which other work of the machine stretches less than wall time. Every fifth
        # is counted from the start, the others from the first step; none is near the end, for a
        # run that goes on has less to do.
        early = tally.kills % 5 == 4
        moment = chance.uniform(0, training.start_up if early else 0.4 * training.work)
        while process.poll() is None and not early and not training.has_begun(run):
            time.sleep(0.02)
        moment += 0 if early else cpu_seconds(process)
        while process.poll() is None and cpu_seconds(process) < moment:
            time.sleep(0.01)
        if not early and tally.kills % 2:
            wait_for_writing(process, run)
            time.sleep(chance.uniform(0, 0.1))
        process.kill()
        process.wait()
        if process.returncode == 0:
            return kills
        if process.returncode != -signal.SIGKILL:
            raise SystemExit(f"a run ended with {process.returncode}: {said(run).read_text()}")
        kills += 1
        tally.kills += 1
        tally.damaged += "is damaged" in said(run).read_text()
        tally.before_training += not training.has_begun(run)
        tally.while_writing += any(run.glob(".*"))
        tally.places.append(place(run))
        print(f"kill {tally.kills} at {tally.places[-1]}", flush=True)
    check(training.start(run), run)
    tally.damaged += "is damaged" in said(run).read_text()
    return kills


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Tell what a process has used; 0 where it is gone."""
    try:
        text = Path(f"/proc/{process.pid}/stat").read_text()
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def wait_for_writing(process: subprocess.Popen[bytes], run: Path) -> None:
    """Wait until a checkpoint is being written, or the run is over."""
    while process.poll() is None and not any(run.glob(".last-*.partial.*")):
        time.sleep(0.002)


def check(process: subprocess.Popen[bytes], run: Path) -> None:
    """Wait for a run that must succeed."""
    if process.wait():
        raise SystemExit(f"a run ended with {process.returncode}: {said(run).read_text()}")


def said(run: Path) -> Path:
    """Where the process of a run writes what it says."""
    return run.with_name("said.txt")


def place(run: Path) -> tuple[int, int]:
    """Tell how far the checkpoint is that a run will go on from; (0, 0) where there is none."""
    for name in (LAST, PREVIOUS):
        try:
            with safe_open(run / name, framework="numpy") as handle:
                values = json.loads(handle.metadata()["glamor-training"])
        except (OSError, SafetensorError):
            continue
        return values["epoch"], values["step"]
    return 0, 0


def outcome(run: Path) -> tuple[list[dict[str, float]], str]:
    """The metrics but for those that measure time, and the hash of the kept weights' file."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    timed = ("seconds", "images_per_second")
    kept = [{key: value for key, value in line.items() if key not in timed} for line in lines]
    return kept, sha256(run / BEST)


if __name__ == "__main__":
    sys.exit(main())
