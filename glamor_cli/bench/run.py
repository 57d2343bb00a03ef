"""The benchmark: line up, time in interleaved rounds, compare, report."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.bench.config import Backend, BenchConfig, BenchResult, Row, Target
from glamor_cli.bench.contenders import Absent, Contender, Entry, Setup
from glamor_cli.bench.core import core_contenders
from glamor_cli.bench.environment import describe_environment
from glamor_cli.bench.network import network_contenders
from glamor_cli.bench.photographs import (
    detector_contenders,
    pipeline_contenders,
    preprocess_contenders,
)
from glamor_cli.bench.timing import time_interleaved
from glamor_cli.bench.training import train_contenders
from glamor_cli.errors import BackendUnavailable, ConfigError
from glamor_cli.runtimes.base import Output, max_abs_diff

_LINE_UP: dict[Target, Callable[[Setup, int], Iterator[Entry]]] = {
    Target.CORE: core_contenders,
    Target.NETWORK: network_contenders,
    Target.PIPELINE: pipeline_contenders,
    Target.DETECTOR: detector_contenders,
    Target.PREPROCESS: preprocess_contenders,
    Target.TRAIN: train_contenders,
}


def run_bench(
    config: BenchConfig, on_progress: Callable[[str], None] = lambda _: None
) -> BenchResult:
    """Measure every target at every batch size, the backends of each against each other.

    A backend that is not here, or fails, is a row that says why.

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
        for target in config.targets:
            for batch in config.batches:
                on_progress(f"{target}, batch of {batch}")
                rows += _measure(setup, target, batch)
    return BenchResult(describe_environment(), tuple(rows))


def _measure(setup: Setup, target: Target, batch: int) -> list[Row]:
    """Measure one target at one batch size."""
    try:
        entries = list(_LINE_UP[target](setup, batch))
    except (BackendUnavailable, ConfigError) as error:
        # A target that cannot be measured here must not cost the others their figures.
        entries = [Absent(backend, "", error.what) for backend in setup.backends]
    contenders = [entry for entry in entries if isinstance(entry, Contender)]
    answers = [_answer(contender) for contender in contenders]
    reference = _reference(contenders, answers)
    times = time_interleaved(
        [contender.run for contender in contenders],
        seconds=setup.config.seconds,
        iterations=setup.config.iterations,
        warmup_seconds=setup.config.warmup_seconds,
    )
    measured = iter(zip(answers, times, strict=True))
    rows = []
    for entry in entries:
        blank = Row(
            target,
            entry.backend,
            provider="",
            precision=entry.precision,
            device=setup.device,
            batch=batch,
            threads=setup.threads,
        )
        if isinstance(entry, Absent):
            rows.append(replace(blank, status=entry.reason))
        else:
            answer, lasted = next(measured)
            row = replace(blank, provider=entry.provider, device=entry.device)
            rows.append(_fill(row, answer, reference, lasted))
    return rows


def _answer(contender: Contender) -> Output | Exception | None:
    """Run once for the answer; compiling backends compile here."""
    try:
        return contender.answer(contender.run())
    except Exception as error:
        # Whatever a backend raises becomes its row.
        return error


def _reference(
    contenders: list[Contender], answers: list[Output | Exception | None]
) -> Output | None:
    """The answer of float32 eager; None where it does not take part."""
    for contender, answer in zip(contenders, answers, strict=True):
        if contender.backend is Backend.EAGER and contender.precision == "fp32":
            return answer if isinstance(answer, Output) else None
    return None


def _fill(
    row: Row,
    answer: Output | Exception | None,
    reference: Output | None,
    lasted: NDArray[np.float64] | Exception,
) -> Row:
    """Put the figures, or the failure, into a row."""
    failure = answer if isinstance(answer, Exception) else lasted
    if isinstance(failure, Exception):
        text = str(failure).strip().splitlines() or [""]
        return replace(row, status=f"failed: {type(failure).__name__}: {text[0]}")
    p50, p90, p95, p99 = (float(value) for value in np.percentile(failure, (50, 90, 95, 99)) * 1e3)
    difference = agreement = None
    if isinstance(answer, Output) and reference is not None:
        difference, agreement = _compare(answer, reference)
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


def _compare(ours: Output, theirs: Output) -> tuple[float, float]:
    """Largest absolute difference of any output, and share of the same most probable emotion."""
    same = ours.probabilities.argmax(axis=1) == theirs.probabilities.argmax(axis=1)
    return max_abs_diff(ours, theirs), float(same.mean())
