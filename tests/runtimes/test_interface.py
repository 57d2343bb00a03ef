"""What every engine is kept from: pixels that are none, and passing on what is no answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from lively import inputs
from onnx import helper, numpy_helper

from glamor_cli.errors import CheckpointError, DataError
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.weights.metadata import Metadata


class Broken(Runtime):
    """An engine of whose answer one part overflowed."""

    metadata, backend, provider = Metadata("broken"), "none", "cpu"

    def __init__(self, part: str, value: float) -> None:
        self._part, self._value = part, value

    def _run(self, face: np.ndarray, context: np.ndarray) -> Output:
        answer = Output(
            *(np.ones((len(face), *shape), np.float32) for shape in ((7,), (7, 7), (2,)))
        )
        getattr(answer, self._part)[-1, ..., -1] = self._value
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


def reshape_output(path: Path, name: str, operator: str, numbers: list[list[int]]) -> None:
    """Put one more node, and its constants, before an output of an exported graph."""
    model = onnx.load(path)
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = ["whole" if value == name else value for value in values]
    constants = [f"number{at}" for at in range(len(numbers))]
    for constant, given in zip(constants, numbers, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(np.array(given), constant))
    model.graph.node.append(helper.make_node(operator, ["whole", *constants], [name]))
    (output,) = (output for output in model.graph.output if output.name == name)
    output.type.tensor_type.ClearField("shape")
    onnx.save(model, path)


@pytest.mark.parametrize(
    ("name", "operator", "numbers", "shape"),
    [
        ("probabilities", "Slice", [[0], [3], [1]], [2, 3]),
        ("probabilities", "Reshape", [[-1, 1, 7]], [2, 1, 7]),
        ("probabilities", "Slice", [[0], [1], [0]], [1, 7]),
        ("attention", "Slice", [[0], [0], [1]], [2, 0, 7]),
        ("attention", "Slice", [[0], [3], [1]], [2, 3, 7]),
        ("stream_weights", "Slice", [[0], [1], [1]], [2, 1]),
    ],
)
def test_answers_of_other_shapes_are_refused(
    files: dict[str, Path],
    tmp_path: Path,
    name: str,
    operator: str,
    numbers: list[list[int]],
    shape: list[int],
) -> None:
    """As graphs give them that somebody changed: some would broadcast to wrong figures."""
    path = tmp_path / "changed.onnx"
    path.write_bytes(files[".onnx"].read_bytes())
    reshape_output(path, name, operator, numbers)
    runtime = open_runtime(path, device="cpu", threads=1)
    face, context = inputs(2)
    for answer in (
        lambda: runtime(face, context),
        lambda: MirroredRuntime(runtime)(face, context),
        lambda: runtime.about(face)(context),
    ):
        with pytest.raises(CheckpointError) as refused:
            answer()
        assert f"{name} as float32 {shape}" in refused.value.what


def test_answers_of_another_type_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """As a converter to half precision leaves them: its digits would pass for the network's."""
    path = tmp_path / "changed.onnx"
    model = onnx.load(files[".onnx"])
    half = onnx.TensorProto.FLOAT16
    for node in model.graph.node:
        for values in (node.input, node.output):
            values[:] = ["whole" if value == "attention" else value for value in values]
    model.graph.node.append(helper.make_node("Cast", ["whole"], ["attention"], to=half))
    (output,) = (output for output in model.graph.output if output.name == "attention")
    output.type.tensor_type.elem_type = half
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="attention as float16"):
        open_runtime(path, device="cpu", threads=1)(*inputs(2))


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
