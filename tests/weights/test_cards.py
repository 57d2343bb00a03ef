"""The card beside each file of weights says what was measured: the figures of its own result."""

import json
from pathlib import Path
from typing import Any

import pytest

from glamor_cli.weights.registry import find_weights, registered

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize("name", list(registered()))
def test_a_card_states_the_figures_that_were_recorded(name: str) -> None:
    card = find_weights(name).with_suffix(".md").read_text(encoding="utf-8")
    measured = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    # Lines are broken anywhere.
    text = " ".join(card.split())
    for statement in headline(measured):
        assert statement in text


def headline(measured: dict[str, Any]) -> list[str]:
    """Say in the card's words what readers compare weights by."""
    torch, onnx = measured["runtimes"]["safetensors"], measured["runtimes"]["onnx"]
    votes = measured["ferplus_majority"]
    said = [
        f"({measured['parameters']:,} parameters)",
        f"{onnx['count']:,} faces:",
        f"| accuracy | {torch['accuracy']:.2%} | {onnx['accuracy']:.2%} |",
        f"| macro-F1 | {torch['macro_f1']:.4f} | {onnx['macro_f1']:.4f} |",
        f"majority of FER+'s votes: {votes['accuracy']:.2%} on the {votes['decided']:,} faces",
        f"{votes['accuracy_where_clear']:.2%} on the {votes['clear']:,} faces",
        f"The shipped temperature {measured['temperature']:.2f} ",
        f"the calibration error is {measured['calibration_error_of_the_other_half']:.4f};",
    ]
    said += [f"| {label} | {recall:.1%} |" for label, recall in onnx["recall"].items()]
    if "flip" in measured:
        said.append(f"the answers are right for {measured['flip']['accuracy']:.2%}, and for")
    photographs = measured.get("photographs")
    if photographs is not None:
        said.append(f"On {photographs['faces']:,} faces of a public collection, framed by")
        said.append(f"{photographs['accuracy']:.1%} of the answers are the collection's own labels")
    return said
