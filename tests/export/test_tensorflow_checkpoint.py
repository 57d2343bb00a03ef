"""Importing the authors' checkpoint: the real form to the last bit, and every damage refused.

``tests/data`` has the two indexes as TensorFlow wrote them, with the checksums of all 80 variables;
the data files are made anew from the rule behind the golden data.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import bundle_writer
import golden
import numpy as np
import pytest
import torch
from bundle_writer import write_bundle, write_index
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.leveldb_table import MAX_KEY_BYTES, masked_crc32c
from glamor_cli.export.tensor_bundle import MAX_INDEX_BYTES, TensorBundle
from glamor_cli.export.tensorflow_checkpoint import convert_variables, import_checkpoint
from glamor_cli.network.config import NetworkConfig
from glamor_cli.weights.network_file import load_network, read_metadata, read_tensors

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
GRAPH_BYTES = bytes(14_101)  # the object graph, which is not read
FORMS = ["one_shard", "two_shards"]


def variables_by_key():
    return {f"{name}{SUFFIX}": value for name, value in golden.make_weights().items()}


def write_form(folder, form):
    """Write the checkpoint in one of the two forms that TensorFlow writes."""
    shutil.copy(golden.DATA / f"checkpoint_{form}.index", folder / "Model.index")
    variables = variables_by_key()
    if form == "one_shard":
        # The layers in the order they were made, the encoders' at the end, then the graph.
        keys = sorted(variables, key=lambda key: "EncodingNet" in key)
        data = b"".join(variables[key].tobytes() for key in keys)
        (folder / "Model.data-00000-of-00001").write_bytes(data + GRAPH_BYTES)
    else:
        data = b"".join(variables[key].tobytes() for key in sorted(variables))
        (folder / "Model.data-00000-of-00002").write_bytes(GRAPH_BYTES)
        (folder / "Model.data-00001-of-00002").write_bytes(data)
    return folder / "Model"


@pytest.fixture
def one_shard(tmp_path):
    return write_form(tmp_path, "one_shard")


@pytest.fixture
def two_shards(tmp_path):
    return write_form(tmp_path, "two_shards")


def flip_bit(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def refused(prefix, tmp_path, match):
    """The import must fail with this message and leave nothing behind."""
    out = tmp_path / "out" / "imported.safetensors"
    with pytest.raises(CheckpointError, match=match) as caught:
        import_checkpoint(prefix, out)
    assert "\n" not in caught.value.what
    assert "\n" not in caught.value.remedy
    assert not out.parent.exists() or not list(out.parent.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_imports_both_forms_bit_for_bit(tmp_path, form):
    out = tmp_path / "authors.safetensors"
    metadata = import_checkpoint(write_form(tmp_path, form), out)
    assert metadata == read_metadata(out)
    assert metadata.name == "authors"
    assert metadata.network == NetworkConfig()
    assert metadata.geometry == "official-jpeg"
    assert metadata.training_data == "imported from the authors' checkpoint"
    tensors, _ = read_tensors(out)
    expected = convert_variables(golden.make_weights())
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


@pytest.mark.parametrize("form", FORMS)
def test_imports_what_tensorflow_wrote(tmp_path, form):
    prefix = golden.SHARED / f"checkpoint_{form}" / "Model"
    if not Path(f"{prefix}.index").is_file():
        pytest.skip("the golden checkpoints are not beside this checkout")
    out = tmp_path / "imported.safetensors"
    import_checkpoint(prefix, out)
    tensors, _ = read_tensors(out)
    expected = convert_variables(golden.make_weights())
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_imported_network_gives_the_authors_scores(one_shard, tmp_path):
    out = tmp_path / "imported.safetensors"
    import_checkpoint(one_shard, out)
    network, _ = load_network(out)
    with torch.inference_mode():
        scores = network(*golden.make_inputs()).logits.softmax(1)
    np.testing.assert_allclose(scores, golden.load("forward")["scores"], rtol=0, atol=1e-5)


def test_path_of_the_index_will_do(one_shard, tmp_path):
    import_checkpoint(Path(f"{one_shard}.index"), tmp_path / "imported.safetensors")


@pytest.mark.parametrize(
    "name", ["FaceEncodingNet/blocks/0/conv/kernel", "attention_fc2/bias", "final_classify/kernel"]
)
def test_flipped_bit_names_the_variable(two_shards, tmp_path, name):
    entry = TensorBundle.open(two_shards).entries[f"{name}{SUFFIX}"]
    flip_bit(Path(f"{two_shards}.data-00001-of-00002"), entry.offset + entry.size - 1)
    refused(two_shards, tmp_path, f"{name} does not match its checksum")


def test_truncated_data_name_the_variable(two_shards, tmp_path):
    shard = Path(f"{two_shards}.data-00001-of-00002")
    shard.write_bytes(shard.read_bytes()[:-4])
    # Keys lie sorted, so the end of the data belongs to the last.
    refused(two_shards, tmp_path, r"final_fc1/kernel ends at byte 8647208 .* only 8647204")


def test_missing_data_are_named(two_shards, tmp_path):
    Path(f"{two_shards}.data-00001-of-00002").unlink()
    refused(two_shards, tmp_path, r"lies in Model.data-00001-of-00002, which cannot be read")


def test_swapped_shards(two_shards, tmp_path):
    first, second = (Path(f"{two_shards}.data-0000{shard}-of-00002") for shard in (0, 1))
    graph, floats = first.read_bytes(), second.read_bytes()
    first.write_bytes(floats)
    second.write_bytes(graph)
    refused(two_shards, tmp_path, r"\S+ ends at byte \d+ of Model.data-00001-of-00002")


def test_data_of_another_checkpoint(one_shard, tmp_path):
    shard = Path(f"{one_shard}.data-00000-of-00001")
    others = np.frombuffer(shard.read_bytes()[: -len(GRAPH_BYTES)], np.float32) * np.float32(1.5)
    shard.write_bytes(others.tobytes() + GRAPH_BYTES)
    refused(one_shard, tmp_path, "FaceEncodingNet/blocks/0|attention_fc1|kernel does not match")


def test_every_flipped_bit_of_the_index_is_noticed(one_shard, tmp_path):
    """All but the unused rest of the footer is under a checksum or points to something that is."""
    index = Path(f"{one_shard}.index")
    good = index.read_bytes()
    intact = TensorBundle.open(one_shard).entries
    for position in range(0, len(good), 11):
        flip_bit(index, position)
        try:
            found = TensorBundle.open(one_shard).entries
        except CheckpointError:
            pass
        else:
            assert found == intact, f"byte {position}"
        index.write_bytes(good)


def test_every_truncation_of_the_index_is_refused(one_shard):
    index = Path(f"{one_shard}.index")
    good = index.read_bytes()
    for length in (*range(0, len(good), 97), len(good) - 1):
        index.write_bytes(good[:length])
        with pytest.raises(CheckpointError, match="intact index"):
            TensorBundle.open(one_shard)


def test_missing_checkpoint_says_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read .*Model\.index") as caught:
        import_checkpoint(tmp_path / "Model", tmp_path / "out.safetensors")
    assert "path/to/Model" in caught.value.remedy


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", bytes(100_000)])
def test_foreign_file(tmp_path, content):
    (tmp_path / "Model.index").write_bytes(content)
    refused(tmp_path / "Model", tmp_path, "not the intact index of a TensorFlow 2 checkpoint")


def test_huge_index_is_not_read(tmp_path):
    with (tmp_path / "Model.index").open("wb") as handle:
        handle.truncate(MAX_INDEX_BYTES + 1)
    refused(tmp_path / "Model", tmp_path, "larger than")


def test_lacking_variable_is_named(tmp_path):
    variables = variables_by_key()
    del variables[f"attention_fc1_bn/gamma{SUFFIX}"]
    refused(
        write_bundle(tmp_path / "Model", variables), tmp_path, "lacks .* attention_fc1_bn/gamma"
    )


def test_foreign_variable_is_named(tmp_path):
    variables = variables_by_key() | {f"final_fc3/kernel{SUFFIX}": np.zeros(3, np.float32)}
    refused(write_bundle(tmp_path / "Model", variables), tmp_path, "final_fc3/kernel")


def test_checkpoint_of_another_network(tmp_path):
    variables = {f"dense/kernel{SUFFIX}": np.zeros((3, 3), np.float32)}
    refused(write_bundle(tmp_path / "Model", variables), tmp_path, "lacks .* and has 'dense/kernel")


def test_wrong_shape_is_named(tmp_path):
    key = f"final_classify/kernel{SUFFIX}"
    variables = variables_by_key() | {key: np.zeros((128, 8), np.float32)}
    prefix = write_bundle(tmp_path / "Model", variables)
    refused(prefix, tmp_path, r"final_classify/kernel has shape \(128, 8\), not \(128, 7\)")


def test_wrong_type_is_named(tmp_path):
    variables = variables_by_key() | {f"final_classify/bias{SUFFIX}": np.zeros(7, np.int64)}
    prefix = write_bundle(tmp_path / "Model", variables)
    refused(prefix, tmp_path, "final_classify/bias holds int64, not float32")


def test_values_that_are_not_finite_are_named(tmp_path):
    variables = variables_by_key() | {f"final_classify/bias{SUFFIX}": np.full(7, np.nan, "f4")}
    prefix = write_bundle(tmp_path / "Model", variables)
    refused(prefix, tmp_path, "classifier.logits.bias holds values that are not finite")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"shard": 1}, "in shard 1 of 1"),
        ({"offset": 2**63}, "ends at byte"),
        ({"size": 24}, "has 24 bytes, not 28"),
        ({"size": 2**64 - 1}, "ends at byte"),
        ({"crc32c": 0}, "does not match its checksum"),
        ({"extra": bundle_writer.message(7, b"")}, "in slices"),
        ({"extra": b"\x08"}, "ends inside a number"),
        ({"extra": b"\x0b"}, "unknown kind"),
        ({"extra": bundle_writer.message(4, b"12")}, "should be a number"),
        ({"extra": bundle_writer.number(2, 1)}, "should be a message"),
        ({"shape": (1,) * 1000}, "has 1000 dimensions"),
    ],
)
def test_bad_entry_names_the_variable(tmp_path, change, match):
    key = f"final_classify/bias{SUFFIX}"
    prefix = write_bundle(tmp_path / "Model", variables_by_key(), {key: change})
    refused(prefix, tmp_path, f"final_classify/bias.*{match}")


@pytest.mark.parametrize(
    ("header", "kind", "match"),
    [
        (bundle_writer.header(endianness=1), 0, "big-endian"),
        (bundle_writer.header(shards=0), 0, "claims 0 shards"),
        (bundle_writer.header(), 1, "compressed"),
    ],
)
def test_bad_header(tmp_path, header, kind, match):
    write_index(tmp_path / "Model", header, {}, kind)
    refused(tmp_path / "Model", tmp_path, match)


def test_repeated_keys_are_refused(tmp_path):
    """An index that points at one block again and again would grow in memory."""
    rows = [(b"", bundle_writer.header()), (b"a", b""), (b"a", b"")]
    (tmp_path / "Model.index").write_bytes(bundle_writer.table(bundle_writer.block(rows)))
    refused(tmp_path / "Model", tmp_path, "keys are not in order")


def test_an_index_of_many_ways_to_one_block_is_refused(tmp_path):
    """A block without keys passes for rising ones; 70,000 checksums of it would take minutes."""
    empty = bundle_writer.seal(bytes(4 * 50_000) + (50_000).to_bytes(4, "little"))
    (tmp_path / "Model.index").write_bytes(bundle_writer.table(empty, ways=40_000))
    refused(tmp_path / "Model", tmp_path, "blocks are not in order")


def test_long_keys_are_refused(tmp_path):
    """Keys share their beginnings: a megabyte of long ones would become gigabytes."""
    rows = [(b"", bundle_writer.header()), (b"a" * (MAX_KEY_BYTES + 1), b"")]
    (tmp_path / "Model.index").write_bytes(bundle_writer.table(bundle_writer.block(rows)))
    refused(tmp_path / "Model", tmp_path, "does not fit its block")


def test_what_tensorflow_keeps_beside_the_variables_is_left(tmp_path):
    variables = variables_by_key()
    variables[f"save_counter{SUFFIX}"] = np.array(3, np.int64)
    variables[f"optimizer/iter{SUFFIX}"] = np.array(9, np.int64)
    slot = f"final_classify/bias/.OPTIMIZER_SLOT/optimizer/momentum{SUFFIX}"
    variables[slot] = np.zeros(7, np.float32)
    import_checkpoint(write_bundle(tmp_path / "Model", variables), tmp_path / "out.safetensors")
    tensors, _ = read_tensors(tmp_path / "out.safetensors")
    assert len(tensors) == 80


def test_output_must_be_safetensors(one_shard, tmp_path):
    with pytest.raises(ConfigError, match=r"imported\.h5") as caught:
        import_checkpoint(one_shard, tmp_path / "imported.h5")
    assert "imported.safetensors" in caught.value.remedy


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_output_must_have_a_name(one_shard, out):
    with pytest.raises(ConfigError, match=r"Give weights\.safetensors instead"):
        import_checkpoint(one_shard, Path(out))


def test_failed_import_leaves_an_older_file_alone(two_shards, tmp_path):
    out = tmp_path / "imported.safetensors"
    out.write_bytes(b"older")
    flip_bit(Path(f"{two_shards}.data-00001-of-00002"), 100)
    with pytest.raises(CheckpointError):
        import_checkpoint(two_shards, out)
    assert out.read_bytes() == b"older"


def test_crc32c_is_the_published_one():
    """The check value of CRC-32/ISCSI, and leveldb's masking of it."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


SMALL = {
    f"{name}{SUFFIX}": np.arange(size, dtype=np.float32)
    for name, size in (("a", 3), ("b/kernel", 1), ("b/bias", 0))
}


def read_all(prefix):
    """Whatever the files hold, reading them ends well or with our error."""
    try:
        bundle = TensorBundle.open(prefix)
        for key, entry in bundle.entries.items():
            bundle.read(key, entry.shape)
    except CheckpointError:
        pass


def mutate(data, draw):
    """Overwrite, cut, insert or repeat a few bytes."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data[place : place + length] = draw(st.binary(max_size=12))
    return bytes(data)


FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(st.data())
def test_mutated_files_only_ever_raise_our_error(tmp_path, data):
    prefix = write_bundle(tmp_path / "Model", SMALL)
    name = data.draw(st.sampled_from([".index", ".data-00000-of-00001"]))
    path = Path(f"{prefix}{name}")
    path.write_bytes(mutate(path.read_bytes(), data.draw))
    read_all(prefix)


@FUZZ
@given(st.data())
def test_mutations_with_right_checksums_only_ever_raise_our_error(tmp_path, data):
    """Behind the checksums, the parsers of blocks and messages stand alone."""
    prefix = write_bundle(tmp_path / "Model", SMALL)
    entries, _ = bundle_writer.place(SMALL)
    rows = [(b"", bundle_writer.header())]
    rows += [(key.encode(), entry.encode()) for key, entry in sorted(entries.items())]
    if data.draw(st.booleans()):
        chosen = data.draw(st.integers(0, len(rows) - 1))
        rows[chosen] = rows[chosen][0], mutate(rows[chosen][1], data.draw)
        block = bundle_writer.block(rows)
    else:
        block = bundle_writer.seal(mutate(bundle_writer.block(rows)[:-5], data.draw))
    Path(f"{prefix}.index").write_bytes(bundle_writer.table(block))
    read_all(prefix)


def test_command(two_shards, tmp_path):
    out = tmp_path / "authors.safetensors"
    result = CliRunner().invoke(app, ["import-checkpoint", str(two_shards), str(out)])
    assert result.exit_code == 0
    assert "80 variables" in result.stderr
    assert result.stdout == ""
    assert read_metadata(out).name == "authors"


def test_command_with_a_damaged_checkpoint(two_shards, tmp_path):
    flip_bit(Path(f"{two_shards}.data-00001-of-00002"), 0)
    out = tmp_path / "authors.safetensors"
    command = [sys.executable, "-m", "glamor_cli", "import-checkpoint", str(two_shards), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == CheckpointError.exit_code
    assert "does not match its checksum" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert result.stdout == ""
    assert not out.exists()
