"""An ONNX graph cut in two: what depends on the face alone, and the rest.

Measuring the attention asks about many contexts of the same faces. The face's half of the network,
encoder and all, then needs to be computed once.
"""

from pathlib import Path

import onnx
from onnx.utils import Extractor

from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES


def split_at_face(path: Path) -> tuple[bytes, bytes, tuple[str, ...]] | None:
    """Cut a network that glamor exported where values first depend on the context too.

    Args:
        path: The ``.onnx`` file.

    Returns:
        The face's half, the rest, which takes the context and the values of the cut, and these
        values' names; None where no value depends on the face alone.
    """
    model = onnx.load(path)
    face, context = INPUT_NAMES
    # What each value depends on; nodes stand in the order of computation.
    reads = {name: {name} for name in INPUT_NAMES}
    cut: list[str] = []
    for node in model.graph.node:
        inputs = [name for name in node.input if name]
        read = set().union(*(reads.get(name, set()) for name in inputs))
        reads.update((name, read) for name in node.output)
        if context in read:
            cut += [name for name in inputs if reads.get(name) == {face} and name not in cut]
    cut += [name for name in OUTPUT_NAMES if reads.get(name) == {face}]
    if not cut or face in cut or any(not reads.get(name) for name in OUTPUT_NAMES):
        return None
    parts = Extractor(model)
    first = parts.extract_model([face], cut)
    rest = parts.extract_model([context, *cut], list(OUTPUT_NAMES))
    return first.SerializeToString(), rest.SerializeToString(), tuple(cut)
