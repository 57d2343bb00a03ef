"""The benchmark: line up, time in interleaved rounds, compare, report."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glamor_cli.bench.config import BenchConfig, BenchResult, Precision, Row, Target
from glamor_cli.bench.contenders import Absent, Contender, LineUp, Setup, reason
from glamor_cli.bench.core import core_line_up
from glamor_cli.bench.device_clock import device_clock
from glamor_cli.bench.floor import DTYPES, measure_rates
from glamor_cli.bench.network import network_line_up
from glamor_cli.bench.photographs import (
    detector_line_up,
    photographs,
    pipeline_line_up,
    preprocess_line_up,
)
from glamor_cli.bench.training import train_line_up
from glamor_cli.environment import describe_environment
from glamor_cli.runtimes.base import Output, max_abs_diff
from glamor_cli.timing import Clock, host_clock, time_interleaved

_LINE_UP: dict[Target, Callable[[Setup, int], LineUp]] = {
    Target.CORE: core_line_up,
    Target.NETWORK: network_line_up,
    Target.PIPELINE: pipeline_line_up,
    Target.DETECTOR: detector_line_up,
    Target.PREPROCESS: preprocess_line_up,
    Target.TRAIN: train_line_up,
}


def run_bench(
    config: BenchConfig, on_progress: Callable[[str], None] = lambda _: None
) -> BenchResult:
    """Measure every target at every batch size, the backends of each against each other.

    A backend that is not here, or fails, is a row that says why; so is each backend of a target
    that cannot be measured, as with an image that cannot be read.

    Args:
        config: What to measure.
        on_progress: Called with what is measured next.

    Raises:
        ConfigError: No such weights.
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
                rows += _measure(setup, target, batch)
    return BenchResult(describe_environment(), tuple(rows))


def _measure(setup: Setup, target: Target, batch: int) -> list[Row]:
    """Measure one target at one batch size."""
    with ExitStack() as settings:
        if target is not Target.TRAIN:
            # Once for all: each call would pay for entering them. no_grad, because the graphs of
            # torch.compile are recorded anew under inference mode.
            settings.enter_context(torch.no_grad())
            settings.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
        return _compare_line_up(setup, target, batch)


def _compare_line_up(setup: Setup, target: Target, batch: int) -> list[Row]:
    try:
        line_up = _LINE_UP[target](setup, batch)
    except Exception as error:
        # A target or batch that cannot be measured must not cost the others their figures: damaged
        # images, too little memory, for which every library has its own exception.
        line_up = LineUp(tuple(Absent(backend, "", reason(error)) for backend in setup.backends))
    contenders = [entry for entry in line_up.entries if isinstance(entry, Contender)]
    answers = [_answer(contender) for contender in contenders]
    # What failed is not tried again: compilers may take minutes to fail.
    able = [c for c, a in zip(contenders, answers, strict=True) if not isinstance(a, Exception)]
    times = iter(_time(setup, [contender.run for contender in able], host_clock))
    lasted_or_failed = [a if isinstance(a, Exception) else next(times) for a in answers]
    on_device = [contender for contender in able if contender.device_run is not None]
    device_times = dict(
        zip(
            map(id, on_device),
            _time(setup, [c.device_run for c in on_device if c.device_run], device_clock),
            strict=True,
        )
    )
    measured = iter(zip(answers, lasted_or_failed, strict=True))
    rows = []
    for entry in line_up.entries:
        row = Row(
            target,
            entry.backend,
            provider="",
            precision=entry.precision,
            device=setup.device,
            batch=batch,
            threads=setup.threads,
        )
        if isinstance(entry, Absent):
            rows.append(replace(row, status=entry.reason))
            continue
        answer, lasted = next(measured)
        row = replace(row, provider=entry.provider, device=entry.device)
        row = _fill(row, answer, line_up.reference, lasted)
        if row.p50_ms is not None:
            row = _add_device_time(row, device_times.get(id(entry)))
            row = _add_floor(row, entry, setup.threads)
        rows.append(row)
    return rows


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


def _answer(contender: Contender) -> Output | Exception | None:
    """Run once for the answer; compiling backends compile here."""
    try:
        return contender.answer(contender.run())
    except Exception as error:
        # Whatever a backend raises becomes its row.
        return error


def _fill(
    row: Row,
    answer: Output | Exception | None,
    reference: Output | None,
    lasted: NDArray[np.float64] | Exception,
) -> Row:
    """Put the figures, or the failure, into a row."""
    failure = answer if isinstance(answer, Exception) else lasted
    if isinstance(failure, Exception):
        return replace(row, status=reason(failure))
    p50, p90, p95, p99 = (float(value) for value in np.percentile(failure, (50, 90, 95, 99)) * 1e3)
    difference = agreement = None
    if isinstance(answer, Output) and reference is not None:
        difference, agreement = _compare(answer, reference)
        if not np.isfinite(difference):
            return replace(row, status="failed: its answers are not finite")
    return replace(
        row,
        iterations=len(failure),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        images_per_second=row.batch / p50 * 1e3,
        max_abs_diff=difference,
        top1_agreement=agreement,
    )


def _add_device_time(row: Row, lasted: NDArray[np.float64] | Exception | None) -> Row:
    if not isinstance(lasted, np.ndarray):
        return row
    p50, p90 = (float(value) for value in np.percentile(lasted, (50, 90)) * 1e3)
    return replace(row, device_p50_ms=p50, device_p90_ms=p90)


def _add_floor(row: Row, contender: Contender, threads: int) -> Row:
    """Put the floor and the distance to it into a row, where both are of one device."""
    if contender.work is None or (row.device == "cuda" and row.device_p50_ms is None):
        return row
    known = {str(precision): precision for precision in DTYPES}
    precision = known.get(row.precision, Precision.FP32)
    seconds, bound = measure_rates(row.device, precision, threads).floor(contender.work)
    took = row.p50_ms if row.device_p50_ms is None else row.device_p50_ms
    assert took is not None  # noqa: S101 - only rows that were measured come here
    ratio = took / (seconds * 1e3)
    return replace(row, floor_ms=seconds * 1e3, floor_bound=bound, floor_ratio=ratio)


def _compare(ours: Output, theirs: Output) -> tuple[float, float]:
    """Largest absolute difference of any output, and share of the same most probable emotion."""
    same = ours.probabilities.argmax(axis=1) == theirs.probabilities.argmax(axis=1)
    return max_abs_diff(ours, theirs), float(same.mean())
