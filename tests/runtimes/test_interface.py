"""What no runtime does: pass on an answer that is no answer."""

import numpy as np
import pytest
from lively import inputs

from glamor_cli.errors import CheckpointError
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
