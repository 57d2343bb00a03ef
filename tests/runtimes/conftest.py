"""One network as the files that runtimes open."""

from pathlib import Path

import pytest
from lively import TEMPERATURE, lively_network

from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig
from glamor_cli.network.config import NetworkConfig
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import save_network


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    network = lively_network(NetworkConfig())
    metadata = Metadata("lively", temperature=TEMPERATURE, training_data="nothing")
    save_network(folder / "lively.safetensors", network, metadata)
    export_onnx(
        folder / "lively.safetensors",
        folder / "lively.onnx",
        ExportConfig(batch=BatchRange(1, 2, 3)),
    )
    return {suffix: folder / f"lively{suffix}" for suffix in (".safetensors", ".onnx")}
