"""What is said of wrong arguments: of a path that is there it is said what it is."""

import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError
from glamor_cli.weights.registry import find_weights


@pytest.mark.parametrize(
    ("name", "what", "remedy"),
    [
        ("run", "is a folder", "run/best.safetensors"),
        ("photos", "is a folder", "glamor-original"),
        ("notes.txt", "does not end in .safetensors, .onnx or .engine", "glamor-original"),
        ("net.ONNX", "in small letters", "glamor-original"),
    ],
)
def test_a_path_that_exists_is_not_said_to_be_missing(tmp_path, monkeypatch, name, what, remedy):
    monkeypatch.chdir(tmp_path)
    for folder in ("run", "photos"):
        (tmp_path / folder).mkdir()
    for file in ("run/best.safetensors", "notes.txt", "net.ONNX"):
        (tmp_path / file).touch()
    with pytest.raises(ConfigError) as refused:
        find_weights(name)
    assert what in refused.value.what
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    "words",
    [
        ("train", ".", "--init", "nosuch"),
        ("bench", "--weights", "nosuch"),
        ("export", "--weights", "nosuch"),
    ],
)
def test_commands_advise_only_what_they_can_read(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, ConfigError)
    assert ".onnx" not in refused.remedy and ".safetensors" in refused.remedy


def test_a_file_in_the_place_of_a_store_is_said_to_be_one(tmp_path):
    (tmp_path / "data" / "Happy").mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "data" / "Happy" / "a.png")
    (tmp_path / "a.csv").touch()
    arguments = ["preprocess", str(tmp_path / "data"), str(tmp_path / "a.csv")]
    refused = CliRunner().invoke(app, arguments).exception
    assert isinstance(refused, ConfigError)
    assert refused.what.endswith("a.csv is a file")


def test_a_misspelt_choice_is_told_plainly():
    said = CliRunner().invoke(app, ["predict", "a.png", "--format", "xls"])
    assert said.exit_code == 2
    assert "Value error" not in said.stderr and "'xls' is not one of" in said.stderr
