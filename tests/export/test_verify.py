"""The gate on real pairs, before networks whose answers are known."""

import re
from pathlib import Path

import numpy as np
import pytest

from glamor_cli.errors import ExportError
from glamor_cli.export.options import (
    BFLOAT16_TOLERANCE,
    TOLERANCES,
    Agreement,
    BatchRange,
    ExportConfig,
    ExportPrecision,
    Tolerance,
)
from glamor_cli.export.pairs import Pairs
from glamor_cli.export.verify import check_agreement, check_batches
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.runtimes.options import Arithmetic
from glamor_cli.weights.metadata import Metadata

COUNT = 100
"""More than are compared at a time, so that the pieces must be added up."""


class Borderline(Runtime):
    """Says Anger rather than Disgust, but only just; of some faces the other way round.

    Each face says by its first value which one it is.
    """

    metadata = Metadata("borderline")
    backend = provider = "cpu"

    def __init__(self, flipped: int = 0) -> None:
        # The last ones, which are in the second piece.
        self.first_flipped = COUNT - flipped

    def _run(self, face, context):
        flipped = face[:, 0, 0, 0] * COUNT > self.first_flipped - 0.5
        probabilities = np.zeros((len(face), 7), np.float32)
        probabilities[:, 0] = np.where(flipped, 0.499, 0.501)
        probabilities[:, 1] = 1 - probabilities[:, 0]
        return Output(
            probabilities,
            np.zeros((len(face), 7, 7), np.float32),
            np.ones((len(face), 2), np.float32),
        )


def compare(
    flipped: int, precision: ExportPrecision = ExportPrecision.FP16, labels=None
) -> Agreement:
    face = np.zeros((COUNT, 3, 96, 96), np.float32)
    face[:, 0, 0, 0] = np.arange(COUNT) / COUNT
    pairs = Pairs(face, np.zeros((COUNT, 3, 112, 112), np.float32), labels)
    return check_agreement(Borderline(flipped), Borderline(), pairs, TOLERANCES[precision])


def test_other_emotions_are_refused_and_counted():
    with pytest.raises(ExportError, match=r"another emotion for 3 pairs \(allowed 1\)") as refused:
        compare(3)
    assert "on 100 real pairs" in refused.value.what
    # Each answer is within the precision's tolerance, and no accuracy is known.
    assert "difference" not in refused.value.what
    assert "accuracy" not in refused.value.what


class Overflowing(Borderline):
    """Has no number for an answer to the later faces, as float16 may not."""

    def _run(self, face, context):
        answer = super()._run(face, context)
        answer.probabilities[face[:, 0, 0, 0] > 0.5] = np.nan
        return answer


def test_answers_that_are_no_numbers_are_refused():
    face = np.full((COUNT, 3, 96, 96), 0.9, np.float32)
    face[0] = 0
    pairs = Pairs(face, np.zeros((COUNT, 3, 112, 112), np.float32), None)
    tolerance = TOLERANCES[ExportPrecision.FP16]
    with pytest.raises(ExportError, match="a difference of nan"):
        check_agreement(Overflowing(), Borderline(), pairs, tolerance)
    # The first batch size has the first face alone, to which it answers.
    with pytest.raises(ExportError, match=r"0\.00e\+00 at batch 1, nan at batch 2"):
        check_batches(Overflowing(), Borderline(), BatchRange(1, 2, 4), tolerance, pairs)


def test_one_pair_on_the_border_is_let_pass():
    agreement = compare(1)
    assert (agreement.pairs, agreement.top1, agreement.accuracy) == (COUNT, 0.99, None)
    assert agreement.max_abs_diff == pytest.approx(0.002, rel=1e-3)
    # With labels too: it is one pair's worth of accuracy, however that rounds.
    agreement = compare(1, labels=np.zeros(COUNT, np.int64))
    assert (agreement.accuracy, agreement.reference_accuracy) == (0.99, 1)


def test_a_loss_of_accuracy_is_refused():
    """INT8 may name other emotions for two of a hundred, but not if both were right."""
    right = np.zeros(COUNT, np.int64)
    with pytest.raises(ExportError, match=re.escape("accuracy 98.00% instead of 100.00%")) as lost:
        compare(2, ExportPrecision.INT8, right)
    assert "another emotion" not in lost.value.what
    # Answers that were wrong may become right.
    assert compare(2, ExportPrecision.INT8, right + 1).accuracy == 0.02


def test_what_is_allowed_is_a_whole_number_of_pairs():
    """A fiftieth of a hundred is two, though 1 - 0.98 is a little more than that."""
    with pytest.raises(ExportError, match=r"another emotion for 3 pairs \(allowed 2\)"):
        compare(3, ExportPrecision.INT8)


def test_values_that_differ_are_refused_where_the_emotions_are_the_same():
    with pytest.raises(ExportError, match=r"a difference of 2\.00e-03 \(allowed 1e-05\)"):
        compare(1, ExportPrecision.FP32)


def test_what_is_allowed_is_what_the_coarser_of_file_and_engine_needs():
    int8 = ExportConfig(ExportPrecision.INT8, verify=Path("store"))
    for arithmetic in Arithmetic:
        assert int8.tolerance(arithmetic) == TOLERANCES[ExportPrecision.INT8]
    for precision in (ExportPrecision.FP32, ExportPrecision.FP16):
        assert int8.tolerance(Arithmetic.BFLOAT16, precision) == BFLOAT16_TOLERANCE
        assert int8.tolerance(precision=precision) == TOLERANCES[precision]
    given = ExportConfig(atol=0.3).tolerance(Arithmetic.BFLOAT16)
    assert given == Tolerance(0.3, BFLOAT16_TOLERANCE.top1, BFLOAT16_TOLERANCE.accuracy)
