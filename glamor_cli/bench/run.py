"""The benchmark: line up, time in interleaved rounds, compare, report."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glamor_cli.bench.contenders import Absent, Contender, LineUp, Setup, reason
from glamor_cli.bench.core import core_line_up
from glamor_cli.bench.device_clock import device_clock
from glamor_cli.bench.floor import DTYPES, measure_rates
from glamor_cli.bench.network import network_line_up
from glamor_cli.bench.options import Backend, BenchConfig, BenchResult, Precision, Row, Target
from glamor_cli.bench.photographs import (
    detector_line_up,
    photographs,
    pipeline_line_up,
    preprocess_line_up,
)
from glamor_cli.bench.training import train_line_up
from glamor_cli.runtimes.interface import Output, max_abs_diff
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.exact_float32 import exact_float32_for_compilers
from glamor_cli.system.timing import Clock, host_clock, time_interleaved

_LINE_UP: dict[Target, Callable[[Setup, int], LineUp]] = {
    Target.CORE: core_line_up,
    Target.NETWORK: network_line_up,
    Target.PIPELINE: pipeline_line_up,
    Target.DETECTOR: detector_line_up,
    Target.PREPROCESS: preprocess_line_up,
    Target.TRAIN: train_line_up,
}


@dataclass(eq=False)
class _Trial:
    """A contender and what came of running it.

    Attributes:
        contender: Who ran.
        answer: What it answered; None where there is nothing to compare.
        failure: What it raised, at first or while it was timed.
        times: Seconds of each run; none where it failed.
        device_times: The same by the GPU's clock, or what the work raised then; None where that
            clock is not read.
    """

    contender: Contender
    answer: Output | None = None
    failure: Exception | None = None
    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    device_times: NDArray[np.float64] | Exception | None = None


def run_bench(
    config: BenchConfig,
    on_progress: Callable[[str], None] = lambda _: None,
    on_rows: Callable[[Sequence[Row]], None] = lambda _: None,
) -> BenchResult:
    """Measure every target at every batch size, the backends of each against each other.

    A backend that is not here, or fails, is a row that says why; so is each backend of a target
    that cannot be measured, as with an image that cannot be read.

    Args:
        config: What to measure.
        on_progress: Called with what is measured next.
        on_rows: Called with the rows of each target and batch size when they are there, for whoever
            may be stopped before the last.

    Raises:
        ConfigError: No such weights or exported file, weights that are no ``.safetensors`` file,
            an export that is one, or a mode of ``torch.compile`` where that is not measured.
        CheckpointError: The weights are damaged or foreign.
        DataError: The folder of images holds none.
        BackendUnavailable: The device is not here.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="glamor-bench-") as folder:
        setup = Setup(config, Path(folder))
        if config.images is not None:
            photographs(setup, 1)
        for target in config.targets:
            for batch in config.batches:
                on_progress(f"{target}, batch of {batch}")
                measured = _measure(setup, target, batch)
                rows += measured
                on_rows(measured)
    return BenchResult(describe_environment(), tuple(rows))


def _measure(setup: Setup, target: Target, batch: int) -> list[Row]:
    """Measure one target at one batch size."""
    if Backend.COMPILE in setup.backends:
        # A function is compiled for eight shapes and types at most, whichever module it is of.
        torch.compiler.reset()
    with ExitStack() as settings:
        # Once for all: each call would pay for entering them.
        settings.enter_context(exact_float32_for_compilers())
        if target is not Target.TRAIN:
            # no_grad, because the graphs of torch.compile are recorded anew under inference mode.
            settings.enter_context(torch.no_grad())
            # cuDNN searches for the fastest algorithm, for everybody as for our runtime. What it
            # finds is a thread's own, and in a pipeline each call would search in a new thread.
            searches = target is not Target.PIPELINE
            settings.enter_context(
                torch.backends.cudnn.flags(enabled=True, benchmark=searches, allow_tf32=False)
            )
        return _compare_line_up(setup, target, batch)


def _compare_line_up(setup: Setup, target: Target, batch: int) -> list[Row]:
    try:
        line_up = _LINE_UP[target](setup, batch)
    except Exception as error:
        # A target or batch that cannot be measured must not cost the others their figures: damaged
        # images, too little memory, for which every library has its own exception.
        line_up = LineUp(tuple(Absent(backend, "", reason(error)) for backend in setup.backends))
    entries = [_try(entry) if isinstance(entry, Contender) else entry for entry in line_up.entries]
    # What failed is not tried again: compilers may take minutes to fail.
    able = [entry for entry in entries if isinstance(entry, _Trial) and entry.failure is None]
    lasted = _time(setup, [trial.contender.run for trial in able], host_clock)
    for trial, found in zip(able, lasted, strict=True):
        if isinstance(found, Exception):
            trial.failure = found
        else:
            trial.times = found
    calls = [(trial, trial.contender.device_run) for trial in able]
    on_device = [(trial, call) for trial, call in calls if call is not None]
    lasted = _time(setup, [call for _, call in on_device], device_clock)
    for (trial, _), found in zip(on_device, lasted, strict=True):
        trial.device_times = found
    return [_row(setup, target, batch, entry, line_up.reference) for entry in entries]


def _row(
    setup: Setup, target: Target, batch: int, entry: _Trial | Absent, reference: Output | None
) -> Row:
    """Put what came of an entry into a row."""
    who = entry.contender if isinstance(entry, _Trial) else entry
    row = Row(
        target,
        who.backend,
        provider="",
        precision=who.precision,
        device=setup.device,
        batch=batch,
        threads=setup.threads,
        export=None if who.export is None else str(who.export),
    )
    if isinstance(entry, Absent):
        return replace(row, status=entry.reason)
    contender = entry.contender
    row = replace(row, provider=contender.provider, device=contender.device)
    row = _fill(row, entry, reference)
    if row.p50_ms is not None:
        row = _add_device_time(row, entry.device_times)
        row = _add_floor(row, contender, setup.threads)
    return row


def _time(
    setup: Setup, calls: Sequence[Callable[[], object]], clock: Clock
) -> list[NDArray[np.float64] | Exception]:
    config = setup.config
    return time_interleaved(
        calls,
        # On the GPU's clock a run is ten, after a head start: the number of runs is enough.
        seconds=config.seconds if clock is host_clock else 0,
        iterations=config.iterations,
        warmup_seconds=config.warmup_seconds,
        clock=clock,
    )


def _try(contender: Contender) -> _Trial:
    """Run once for the answer; compiling backends compile here."""
    try:
        return _Trial(contender, contender.answer(contender.run()))
    except Exception as error:
        # Whatever a backend raises becomes its row.
        return _Trial(contender, failure=error)


def _fill(row: Row, trial: _Trial, reference: Output | None) -> Row:
    """Put the figures, or the failure, into a row."""
    if trial.failure is not None:
        return replace(row, status=reason(trial.failure))
    p50, p90, p95, p99 = (
        float(value) for value in np.percentile(trial.times, (50, 90, 95, 99)) * 1e3
    )
    difference = agreement = None
    if trial.answer is not None and reference is not None and _can_compare(trial.answer, reference):
        difference = max_abs_diff(trial.answer, reference)
        if not np.isfinite(difference):
            return replace(row, status="failed: its answers are not finite")
        ours, theirs = (one.probabilities.argmax(axis=1) for one in (trial.answer, reference))
        agreement = float((ours == theirs).mean())
    return replace(
        row,
        iterations=len(trial.times),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        images_per_second=row.batch / p50 * 1e3,
        max_abs_diff=difference,
        top1_agreement=agreement,
    )


def _add_device_time(row: Row, lasted: NDArray[np.float64] | Exception | None) -> Row:
    if lasted is None:
        return row
    if isinstance(lasted, Exception):
        return replace(row, status=f"ok by the host's clock; by the GPU's: {reason(lasted)}")
    p50, p90 = (float(value) for value in np.percentile(lasted, (50, 90)) * 1e3)
    return replace(row, device_p50_ms=p50, device_p90_ms=p90)


def _add_floor(row: Row, contender: Contender, threads: int) -> Row:
    """Put the floor and the distance to it into a row, where both are of one device.

    Torch multiplies no INT8, so that nothing is known of the least time that such rows take.
    """
    if contender.work is None or (row.device == "cuda" and row.device_p50_ms is None):
        return row
    if row.precision not in DTYPES:
        return row
    try:
        rates = measure_rates(row.device, Precision(row.precision), threads)
    except (MemoryError, RuntimeError):  # torch's, too, where memory does not suffice
        return row
    seconds, bound = rates.floor(contender.work)
    took = row.p50_ms if row.device_p50_ms is None else row.device_p50_ms
    assert took is not None  # noqa: S101 - only rows that were measured come here
    ratio = took / (seconds * 1e3)
    return replace(row, floor_ms=seconds * 1e3, floor_bound=bound, floor_ratio=ratio)


def _can_compare(ours: Output, theirs: Output) -> bool:
    """Whether both are of as many faces, classes and cells: an export may be of another network."""
    return (
        ours.probabilities.shape == theirs.probabilities.shape
        and ours.attention.shape == theirs.attention.shape
    )
