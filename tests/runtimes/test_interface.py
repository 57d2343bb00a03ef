"""What every engine is kept from: pixels that are none, and passing on what is no answer."""

import numpy as np
import pytest
from lively import inputs

from glamor_cli.errors import CheckpointError, DataError
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.weights.metadata import Metadata


class Broken(Runtime):
    """An engine of whose answer one part overflowed."""

    metadata, backend, provider = Metadata("broken"), "none", "cpu"

    def __init__(self, part: str, value: float) -> None:
        self._part, self._value = part, value

    def _run(self, face: np.ndarray, context: np.ndarray) -> Output:
        answer = Output(*(np.ones((len(face), 7), np.float32) for _ in range(3)))
        getattr(answer, self._part)[-1, -1] = self._value
        return answer


@pytest.mark.parametrize("part", ["probabilities", "attention", "stream_weights"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_of_which_any_part_is_not_finite_is_refused(part: str, value: float) -> None:
    runtime = Broken(part, value)
    face, context = inputs(2)
    with pytest.raises(CheckpointError, match="values that are not finite"):
        runtime(face, context)
    with pytest.raises(CheckpointError, match="values that are not finite"):
        runtime.about(face)(context)
    assert not np.isfinite(getattr(runtime.unchecked(face, context), part)).all()


@pytest.mark.parametrize("value", [-0.0, 1e-45, -1e-45, -0.009, 1.009])
def test_one_pixel_may_be_off_by_what_rounding_does(value: float) -> None:
    face, context = inputs(2)
    context[1, 2, 111, 111] = value
    assert Broken("attention", 0.0)(face, context).probabilities.shape == (2, 7)


@pytest.mark.parametrize(
    "value", [-0.02, 1.02, 255.0, -1e30, np.inf, -np.inf, np.nan, np.copysign(np.nan, -1)]
)
def test_one_pixel_that_is_none_is_refused(value: float) -> None:
    face, context = inputs(2)
    context[1, 2, 111, 111] = value
    with pytest.raises(DataError, match="context holds values"):
        Broken("attention", 0.0)(face, context)
