"""Addresses are told from paths, though a Path has lost one of their slashes."""

import pytest
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.local import require_local

ADDRESS = "https://example.org/a.safetensors"


@pytest.mark.parametrize(
    "arguments",
    [
        ["preprocess", ADDRESS, "out"],
        ["evaluate", ADDRESS],
        ["train", ADDRESS, "--run", "out"],
        ["store", "verify", ADDRESS],
        ["explain", ADDRESS],
        ["predict", "a.png", "--weights", ADDRESS],
        ["export", "--weights", ADDRESS],
    ],
)
def test_every_command_says_that_addresses_are_not_opened(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(app, arguments).exception
    assert isinstance(refused, DataError | ConfigError)
    assert refused.what == f"{ADDRESS} is an address, and addresses are not opened"
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_called_like_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "https:").mkdir()
    (tmp_path / "https:" / "a.png").touch()
    require_local("https://a.png")
    with pytest.raises(DataError, match=r"https://b\.png is an address"):
        require_local("https://b.png")


@pytest.mark.parametrize("path", ["C:/pictures", "C:\\pictures", "host:/pictures", "data/s3:/a"])
def test_paths_that_are_no_address(path):
    require_local(path)
