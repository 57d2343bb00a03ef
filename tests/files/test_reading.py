"""Only real files are opened, and only so much of them is read."""

import os
from pathlib import Path

import pytest

from glamor_cli.data.data_sets.crop_files import read_box
from glamor_cli.data.data_sets.fer2013 import convert_fer2013
from glamor_cli.data.scenes.cues import read_cues
from glamor_cli.data.store.index import read_index
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import CheckpointError, DataError
from glamor_cli.export.tensor_bundle import TensorBundle
from glamor_cli.files.reading import read_bounded
from glamor_cli.training.config import read_precision
from glamor_cli.vision.images import read_image
from glamor_cli.weights.network_file import read_metadata, read_tensors


def test_a_file_up_to_the_bound(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_bounded(path, 10) == b"x" * 10
    with pytest.raises(OSError, match="larger than 9 bytes"):
        read_bounded(path, 9)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize(
    "read", [read_image, read_box, lambda path: list(read_index(path)), PairStore.open]
)
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path, read):
    """A pipe of an image's name would stop a worker for ever; /dev/zero would fill the memory."""
    pipe = tmp_path / "store.json"
    os.mkfifo(pipe)
    places = [pipe, Path("/dev/zero"), tmp_path]
    if read == PairStore.open:
        places = [tmp_path]
    for place in places:
        with pytest.raises(DataError):
            read(place)


@pytest.mark.skipif(os.devnull != "/dev/null", reason="no devices with paths here")
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("cues.csv", read_cues),
        ("train.npz", lambda folder: convert_fer2013(folder, folder / "out")),
        ("config.json", read_precision),
    ],
)
def test_devices_are_no_tables_and_no_settings(tmp_path, name, read):
    """An endless one would fill the memory, and a pipe stop the command for ever."""
    (tmp_path / name).symlink_to(os.devnull)
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("read", [read_metadata, read_tensors, TensorBundle.open])
def test_pipes_and_devices_are_no_weights(tmp_path, read):
    path = tmp_path / "Model.index"
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read(path)
