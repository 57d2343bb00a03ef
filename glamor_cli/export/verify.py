"""Does an exported network give the float32 network's answers? If not, there is no export."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from glamor_cli.errors import ExportError, reason_of
from glamor_cli.export.graph import BATCH_AXIS
from glamor_cli.export.options import Agreement, BatchCheck, BatchRange, Tolerance
from glamor_cli.export.pairs import Pairs, random_pairs
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE, NetworkConfig
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES, Runtime, max_abs_diff

_CHUNK = 64


def check_structure(path: Path, opset: int, network: NetworkConfig) -> None:
    """Check a file by ONNX's own rules, and its names, axes, types and opset by ours.

    Raises:
        ExportError: Something is not as it should be.
    """
    model = onnx.load(path)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _broken(f"is not valid ONNX: {reason_of(error)}") from error
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    if versions.get("ai.onnx") != opset:
        raise _broken(f"has opset {versions.get('ai.onnx')}, not {opset}")
    size = network.attention_size
    expected: dict[str, list[str | int]] = {
        "face": [BATCH_AXIS, 3, FACE_SIZE, FACE_SIZE],
        "context": [BATCH_AXIS, 3, CONTEXT_SIZE, CONTEXT_SIZE],
        "probabilities": [BATCH_AXIS, network.classes],
        "attention": [BATCH_AXIS, size, size],
        "stream_weights": [BATCH_AXIS, 2],
    }
    found = [*model.graph.input, *model.graph.output]
    if [value.name for value in found] != [*INPUT_NAMES, *OUTPUT_NAMES]:
        raise _broken(f"has inputs and outputs {', '.join(value.name for value in found)}")
    for value in found:
        kind = value.type.tensor_type
        axes = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
        if axes != expected[value.name] or kind.elem_type != onnx.TensorProto.FLOAT:
            raise _broken(
                f"has {value.name} of {onnx.TensorProto.DataType.Name(kind.elem_type)} {axes}, "
                f"not FLOAT {expected[value.name]}"
            )


def verify_export(
    runtime: Runtime,
    reference: Runtime,
    batch: BatchRange,
    tolerance: Tolerance,
    pairs: Pairs | None,
) -> tuple[tuple[BatchCheck, ...], Agreement | None]:
    """Compare two runtimes at several batch sizes and, where there are real pairs, on all of them.

    Raises:
        ExportError: They differ by more than is allowed; the message has the figures.
        BackendUnavailable: An engine fails on a batch.
    """
    batches = check_batches(runtime, reference, batch, tolerance, pairs)
    if pairs is None:
        return batches, None
    return batches, check_agreement(runtime, reference, pairs, tolerance)


def check_batches(
    runtime: Runtime,
    reference: Runtime,
    batch: BatchRange,
    tolerance: Tolerance,
    pairs: Pairs | None = None,
) -> tuple[BatchCheck, ...]:
    """Compare two runtimes at the smallest, the usual and the largest batch, at 1 and at 2.

    The runtime takes batches of these sizes from then on.

    Args:
        runtime: What was exported.
        reference: The float32 network.
        batch: Sizes outside it are left out.
        tolerance: What is allowed.
        pairs: What to compare on, repeated as needed; None takes random inputs.

    Raises:
        ExportError: An answer differs by more than is allowed; the message has the figures.
        BackendUnavailable: An engine fails on a batch.
    """
    sizes = {1, 2, batch.minimum, batch.optimum, batch.maximum}
    checks = []
    for size in sorted(size for size in sizes if batch.minimum <= size <= batch.maximum):
        sample = random_pairs(size) if pairs is None else pairs.repeat_to(size)
        # The size itself is what is checked, so it must not be cut up.
        runtime.largest_batch = max(runtime.largest_batch, size)
        difference = max_abs_diff(
            runtime.unchecked(sample.face, sample.context),
            reference.unchecked(sample.face, sample.context),
        )
        checks.append(BatchCheck(size, difference))
    # Written so that NaN fails too.
    if not all(check.max_abs_diff <= tolerance.atol for check in checks):
        figures = ", ".join(f"{check.max_abs_diff:.2e} at batch {check.batch}" for check in checks)
        raise ExportError(
            f"the export's answers differ from the float32 network's: {figures}; "
            f"allowed: {tolerance.atol:g}",
            "Choose a higher precision, or allow more with --atol.",
        )
    return tuple(checks)


def check_agreement(
    runtime: Runtime, reference: Runtime, pairs: Pairs, tolerance: Tolerance
) -> Agreement:
    """Compare two runtimes on real pairs: values, most probable emotion, accuracy.

    Raises:
        ExportError: They differ by more than is allowed; the message has the figures.
        BackendUnavailable: An engine fails on a batch.
    """
    ours, theirs = [], []
    difference = 0.0
    for batch in pairs.batches(_CHUNK):
        answer = runtime.unchecked(batch.face, batch.context)
        expected = reference.unchecked(batch.face, batch.context)
        # Unlike max, this keeps NaN.
        difference = float(np.maximum(difference, max_abs_diff(answer, expected)))
        ours.append(answer.probabilities.argmax(axis=1))
        theirs.append(expected.probabilities.argmax(axis=1))
    chosen, expected_choice = np.concatenate(ours), np.concatenate(theirs)
    agreement = Agreement(
        pairs=len(chosen),
        max_abs_diff=difference,
        top1=float((chosen == expected_choice).mean()),
        accuracy=_accuracy(chosen, pairs.labels),
        reference_accuracy=_accuracy(expected_choice, pairs.labels),
    )
    _judge(agreement, tolerance)
    return agreement


def _judge(agreement: Agreement, tolerance: Tolerance) -> None:
    """Fail where agreement is worse than allowed."""
    count = agreement.pairs
    # Rounded up: among few pairs, one may lie on the border between two emotions. But 1 - 0.98 is
    # a little more than 0.02, which is no reason to allow three of a hundred.
    allowed = int(np.ceil(round((1 - tolerance.top1) * count, 6)))
    changed = round((1 - agreement.top1) * count)
    problems = []
    if not agreement.max_abs_diff <= tolerance.atol:
        problems.append(
            f"a difference of {agreement.max_abs_diff:.2e} (allowed {tolerance.atol:g})"
        )
    if changed > allowed:
        problems.append(f"another emotion for {changed} pairs (allowed {allowed})")
    if agreement.accuracy is not None and agreement.reference_accuracy is not None:
        # In whole pairs, so that one pair's worth, allowed as above, is one however it rounds.
        lost = round((agreement.reference_accuracy - agreement.accuracy) * count)
        if lost > max(tolerance.accuracy * count, 1):
            problems.append(
                f"accuracy {agreement.accuracy:.2%} instead of {agreement.reference_accuracy:.2%}"
            )
    if problems:
        raise ExportError(
            f"on {count} real pairs the export shows {'; '.join(problems)}",
            "Choose a higher precision, calibrate on more images, or allow more with --atol.",
        )


def _accuracy(chosen: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float | None:
    return None if labels is None else float((chosen == labels).mean())


def _broken(what: str) -> ExportError:
    return ExportError(
        f"the exported graph {what}",
        "This is a fault of the exporter: try another --opset, and report it.",
    )
