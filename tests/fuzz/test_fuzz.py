"""The short form of ``run.py``: the same parsers and seeds, with a few hundred changes of each."""

import pytest
from fuzz.parsers import PARSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = {"onnx": 25, "safetensors": 25, "stores": 60}


def changed(seeds, tokens):
    """One of the seeds with some bytes replaced, put in, taken out, or the end cut off."""
    piece = st.binary(min_size=1, max_size=6)
    if tokens:
        piece |= st.sampled_from(tokens)
    edit = st.tuples(st.sampled_from("riots"), st.integers(0, 2**16), piece)
    return st.builds(apply, st.sampled_from(seeds), st.lists(edit, min_size=1, max_size=4))


def apply(data, edits):
    for kind, place, piece in edits:
        at = place % (len(data) + 1)
        match kind:
            case "r":
                data = data[:at] + piece + data[at + len(piece) :]
            case "i":
                data = data[:at] + piece + data[at:]
            case "o":
                data = data[:at] + data[at + len(piece) :]
            case "t":
                data = data[:at]
            case "s":
                data = data[:at] + data
    return data


@pytest.mark.parametrize("name", PARSERS)
def test_seeds_and_their_changes_are_read_or_refused(tmp_path, name):
    parser = PARSERS[name]
    seeds = parser.seeds()
    for seed in (b"", *seeds):
        parser.read(seed, tmp_path)

    @settings(
        max_examples=EXAMPLES.get(name, 150),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(seeds, parser.tokens))
    def read(data):
        parser.read(data, tmp_path)

    read()
