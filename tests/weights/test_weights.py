"""The shipped weights are what the index says, and both files give the same answers."""

import json
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from permissions import bound_by_permissions
from safetensors.torch import load_file, save_file

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.files.reading import sha256
from glamor_cli.files.tensor_files import MAX_HEADER_BYTES
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import max_abs_diff
from glamor_cli.weights.metadata import METADATA_KEY, LearntSplit, Metadata
from glamor_cli.weights.network_file import load_network, read_metadata, read_tensors, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights, registered


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "fresh.safetensors"
    config = NetworkConfig(variant=Variant.FACE_ONLY)
    learnt = (LearntSplit("all", "0" * 64, 30, 7), LearntSplit("train", "1" * 64, 9))
    metadata = Metadata("fresh", config, temperature=1.25, learnt_from=learnt, chosen_by="2" * 64)
    save_network(path, GlamorNet(config), metadata)
    return path


@pytest.mark.parametrize("name", list(registered()))
def test_registered_files_are_what_the_index_says(name: str) -> None:
    entry = registered()[name]
    for file, digest in entry.files.items():
        path = find_weights(name, suffix=Path(file).suffix)
        assert path.name == file
        assert sha256(path) == digest
        assert path.with_suffix(".md").is_file()


def test_the_package_contains_what_is_registered() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    tool = tomllib.loads(project.read_text(encoding="utf-8"))["tool"]
    packed = tool["hatch"]["build"]["targets"]["wheel"]["force-include"]
    files = {file for entry in registered().values() for file in entry.files}
    cards = {f"{name}.md" for name in registered()}
    wanted = {"index.json", *files, *cards}
    assert packed == {f"weights/{file}": f"glamor_cli/_weights/{file}" for file in wanted}


def test_the_default_weights_answer_alike_from_both_files() -> None:
    generator = np.random.default_rng(0)
    face = generator.random((3, 3, 96, 96), np.float32)
    context = generator.random((3, 3, 112, 112), np.float32)
    exported = open_runtime(DEFAULT_WEIGHTS, device="cpu")
    original = open_runtime(find_weights(DEFAULT_WEIGHTS), device="cpu")
    assert exported.metadata == original.metadata
    assert exported.metadata.name == DEFAULT_WEIGHTS
    assert max_abs_diff(exported(face, context), original(face, context)) <= 1e-5


def test_the_temperature_softens_every_answer(saved: Path, tmp_path: Path) -> None:
    network, metadata = load_network(saved)
    hot = tmp_path / "hot.safetensors"
    save_network(hot, network, replace(metadata, temperature=5.0))
    face = np.random.default_rng(1).random((2, 3, 96, 96), np.float32)
    context = np.zeros((2, 3, 112, 112), np.float32)
    cold_answer = open_runtime(saved, device="cpu")(face, context).probabilities
    hot_answer = open_runtime(hot, device="cpu")(face, context).probabilities
    expected = cold_answer ** (1.25 / 5.0)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(hot_answer, expected, atol=1e-5)


def test_files_may_be_named_by_text(saved: Path) -> None:
    network, metadata = load_network(str(saved))
    save_network(str(saved), network, replace(metadata, name="again"))
    assert read_metadata(str(saved)).name == read_tensors(str(saved))[1].name == "again"


def test_metadata_survives(saved: Path) -> None:
    metadata = read_metadata(saved)
    assert metadata.network == NetworkConfig(variant=Variant.FACE_ONLY)
    assert metadata.temperature == 1.25
    assert [one.held_out_seed for one in metadata.learnt_from] == [7, None]
    assert metadata.chosen_by == "2" * 64


def test_other_emotions_are_written_in_one_place() -> None:
    """Whoever changes labels.py has a network of as many outputs, whose metadata can be read."""
    code = """
        from pathlib import Path
        from glamor_cli import labels
        labels.EMOTIONS = ("Negative", "Neutral", "Positive")
        from glamor_cli.data.data_sets.class_names import find_class
        from glamor_cli.weights.metadata import Metadata
        read = Metadata.from_json(Metadata("three").to_json(), Path("three"))
        print(read.network.classes, *read.classes, find_class("neutral"), find_class("angry"))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "3 Negative Neutral Positive Neutral None\n"


def test_metadata_of_older_versions_does_not_say_what_was_learnt_from() -> None:
    values = json.loads(Metadata("x").to_json())
    del values["learnt_from"], values["chosen_by"]
    assert Metadata.from_json(json.dumps(values), Path("x.onnx")) == Metadata("x")


@pytest.mark.parametrize("kept", [0, 7, 8, 100, 5000, -1])
def test_truncated_files_are_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"fresh\.safetensors"):
        load_network(saved)


@pytest.mark.parametrize("read", [read_metadata, read_tensors, load_network])
def test_a_missing_file_is_not_said_to_be_damaged(tmp_path: Path, read: Callable) -> None:
    with pytest.raises(CheckpointError, match=r"there is no file .*nothing\.safetensors") as caught:
        read(tmp_path / "nothing.safetensors")
    assert caught.value.remedy == "Check the path."


@pytest.mark.parametrize("read", [read_metadata, read_tensors])
def test_files_that_claim_gigabytes_are_refused_unread(tmp_path: Path, read: Callable) -> None:
    """A sparse file costs whoever sends it nothing, and its tensors would fill the memory."""
    path = tmp_path / "huge.safetensors"
    size = 64 * 2**30
    entry = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    header = json.dumps({"x": entry, "__metadata__": {METADATA_KEY: "{}"}}).encode()
    with path.open("wb") as handle:
        handle.write(len(header).to_bytes(8, "little") + header)
        handle.truncate(8 + len(header) + size)
    with pytest.raises(CheckpointError, match="no glamor network has over"):
        read(path)
    for claimed in (2**63, MAX_HEADER_BYTES + 1, 100):
        path.write_bytes(claimed.to_bytes(8, "little") + b"{}")
        with pytest.raises(CheckpointError, match=f"a header of {claimed} bytes"):
            read(path)


def test_foreign_and_misfit_tensors_are_named(saved: Path, tmp_path: Path) -> None:
    tensors, raw = load_file(saved), {METADATA_KEY: read_metadata(saved).to_json()}
    name = "classifier.logits.weight"
    other = tmp_path / "other.safetensors"
    save_file(tensors, other)
    with pytest.raises(CheckpointError, match="not written by glamor"):
        load_network(other)
    save_file({**tensors, name: tensors[name][:3].contiguous()}, other, raw)
    with pytest.raises(CheckpointError, match=rf"{name} has shape \(3, 128\), not \(7, 128\)"):
        load_network(other)
    save_file({key: value for key, value in tensors.items() if key != name}, other, raw)
    with pytest.raises(CheckpointError, match=f"lacks the tensor {name}"):
        load_network(other)
    save_file({**tensors, "extra": torch.zeros(1)}, other, raw)
    with pytest.raises(CheckpointError, match="an unexpected tensor: extra"):
        load_network(other)
    save_file({**tensors, name: tensors[name] * float("nan")}, other, raw)
    with pytest.raises(CheckpointError, match=f"{name} holds values that are not finite"):
        load_network(other)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": ("Anger", "Happy")}, "2 class names for 7 classes"),
        ({"classes": ("Anger",) * 7}, "two classes of one name"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"schema": 2}, "schema 2"),
        ({"accuracy": {"test": np.float32(0.5)}}, "float32"),
        ({"accuracy": {"test": "0.5"}}, "accuracy of test: '0.5'"),
        ({"name": 5}, "name 5"),
    ],
)
def test_metadata_that_would_not_be_read_is_not_written(
    tmp_path: Path, change: dict, said: str
) -> None:
    metadata = replace(Metadata("x"), **change)
    with pytest.raises(ConfigError, match=said):
        save_network(tmp_path / "x.safetensors", GlamorNet(), metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "half"), [(float("nan"), False), (float("inf"), False), (1e6, True)]
)
def test_values_that_would_not_be_read_are_not_written(
    tmp_path: Path, value: float, half: bool
) -> None:
    network = GlamorNet()
    with torch.no_grad():
        network.classifier.logits.bias[2] = value
    with pytest.raises(ConfigError, match=r"classifier\.logits\.bias holds values"):
        save_network(tmp_path / "x.safetensors", network, Metadata("x"), half=half)
    assert not list(tmp_path.iterdir())


def test_a_layer_exchanged_behind_the_configuration_is_not_written(tmp_path: Path) -> None:
    network = GlamorNet()
    network.classifier.logits = torch.nn.Linear(128, 3)
    with pytest.raises(ConfigError, match=r"has shape \(3, 128\), not \(7, 128\)"):
        save_network(tmp_path / "x.safetensors", network, Metadata("x"))


def test_saving_draws_nothing_at_random(tmp_path: Path) -> None:
    """A training saves its best weights between two epochs."""
    network, state = GlamorNet(), torch.get_rng_state()
    save_network(tmp_path / "x.safetensors", network, Metadata("x"))
    assert torch.equal(torch.get_rng_state(), state)


def test_reading_draws_nothing_at_random(saved: Path) -> None:
    """A program's own draws are not to depend on how often it opened weights."""
    state = torch.get_rng_state()
    load_network(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_weights_say_where_was_looked() -> None:
    with pytest.raises(ConfigError, match=r"unheard-of.*weights"):
        find_weights("unheard-of")


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"encoder": "original", "variant": "full", "hidden": 10**9}},
        {"network": {"encoder": "original", "variant": "full", "hidden": "128"}},
        {"network": {"encoder": "original", "variant": "full", "hidden": True}},
        {"network": {"encoder": "original", "variant": "full", "dropout": 2}},
        {"network": {"encoder": "original", "variant": "full", "dropout": "0.5"}},
        {"name": ["a"]},
        {"colour": 3},
        {"training_data": {}},
        {"accuracy": 0.5},
        {"accuracy": {"test": None}},
        {"accuracy": {"test": float("nan")}},
        {"classes": ["a"] * 10**4, "network": {"encoder": "original", "variant": "full",
                                               "classes": 10**4}},
        {"temperature": 1e999},
        {"temperature": 10**400},
        {"geometry": "round"},
        {"chosen_by": ["b"]},
        {"learnt_from": [{"split": "a", "sha256": "b", "pairs": -1}]},
        {"learnt_from": [{"split": "a", "sha256": ["b"], "pairs": 1}]},
        {"learnt_from": [{"split": "a", "sha256": "b", "pairs": 1, "held_out_seed": 0.5}]},
    ],
)  # fmt: skip
def test_metadata_cannot_ask_for_what_no_network_is(change: dict) -> None:
    """A network of that size would take all memory before a single tensor is looked at."""
    values = json.loads(Metadata("x").to_json()) | change
    with pytest.raises(CheckpointError, match="metadata that glamor cannot read"):
        Metadata.from_json(json.dumps(values), Path("x.onnx"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Anger"], "1 classes"),
        (["Anger", "Happy", "Anger"], "two classes of one name"),
        (["Anger", " "], "class name ' '"),
        (["Anger", "two\nlines"], "class name 'two"),
        (["Anger", "\x1b[31mred"], "class name '"),
    ],
)
def test_class_names_that_cannot_be_told_apart_or_shown_are_refused(
    names: list[str], said: str
) -> None:
    values = json.loads(Metadata("x").to_json())
    values |= {"classes": names, "network": values["network"] | {"classes": len(names)}}
    with pytest.raises(CheckpointError, match=said):
        Metadata.from_json(json.dumps(values), Path("x.onnx"))


def test_deeply_nested_metadata_is_refused() -> None:
    with pytest.raises(CheckpointError, match="metadata that glamor cannot read"):
        Metadata.from_json("[" * 100_000, Path("x.onnx"))


def test_weights_that_may_not_be_read_are_not_called_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    for name in ("a.onnx", "a.safetensors"):
        (folder / name).write_bytes(b"x")
        (folder / name).chmod(0)
        with bound_by_permissions(), pytest.raises(ConfigError, match=r"cannot open .*ermission"):
            find_weights(folder / name)
    folder.chmod(0)
    with bound_by_permissions(), pytest.raises(ConfigError, match=r"cannot open .*ermission"):
        find_weights(folder / "a.onnx")
    folder.chmod(0o700)
    with pytest.raises(ConfigError, match=r"cannot open .*too long"):
        find_weights(f"{'a' * 300}.onnx")
