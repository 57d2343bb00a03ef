"""From the network to an ONNX graph in memory. What tracing needs stays out of the network."""

import json
import warnings

import onnx
import torch
from torch import Tensor, nn

from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.network.folding import fold_batch_norms
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.exported import EXPORT_KEY
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES
from glamor_cli.weights.metadata import METADATA_KEY, Metadata

BATCH_AXIS = "batch"


class ExportableNetwork(nn.Module):
    """The network as engines run it: probabilities out, the temperature inside, float32 outside.

    Args:
        network: In evaluation mode.
        temperature: Logits are divided by it before the softmax.
        half: Compute in float16. Autocast would be exported as an invalid graph, so the cast is
            written out.
    """

    def __init__(self, network: GlamorNet, temperature: float, *, half: bool = False) -> None:
        super().__init__()
        # Folded in float32 first: a folded weight then rounds to float16 only once.
        self.network = fold_batch_norms(network).half() if half else network
        self.temperature = temperature
        self.half_precision = half

    def forward(self, face: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Answer float32 (B, 3, 96, 96) and (B, 3, 112, 112), RGB in [0, 1].

        Returns:
            Probabilities (B, classes), attention (B, h, w), stream weights (B, 2), all float32.
        """
        if self.half_precision:
            face, context = face.half(), context.half()
        logits, attention, stream_weights = self.network(face, context)
        probabilities = (logits.float() / self.temperature).softmax(dim=1)
        return probabilities, attention.float(), stream_weights.float()


def build_graph(
    network: GlamorNet, metadata: Metadata, *, opset: int, half: bool = False, fold: bool = True
) -> onnx.ModelProto:
    """Export the network with a dynamic batch.

    Args:
        network: In evaluation mode, float32, on the CPU.
        metadata: Written into the graph.
        opset: Version of ONNX's operators.
        half: Compute in float16 between float32 inputs and outputs.
        fold: Fold batch norms into convolutions and simplify. Without, every weight is as stored,
            and the engine folds when it loads.
    """
    wrapped = ExportableNetwork(network, metadata.temperature, half=half).eval()
    # Two examples: a batch of one would be taken for a constant.
    face, context = (
        torch.rand(2, 3, size, size, dtype=torch.float32) for size in (FACE_SIZE, CONTEXT_SIZE)
    )
    model = export_module(wrapped, (face, context), INPUT_NAMES, opset=opset, simplify=fold)
    model.producer_name = "glamor"
    model.doc_string = "GLAMOR-Net: face and context, RGB in [0, 1], to emotion probabilities."
    return model


def export_module(
    module: nn.Module,
    example: tuple[Tensor, Tensor],
    input_names: tuple[str, str],
    *,
    opset: int,
    simplify: bool = True,
) -> onnx.ModelProto:
    """Export a module of two inputs and the network's three outputs, the batch dynamic.

    Args:
        module: In evaluation mode, on the CPU.
        example: One tensor for each input, of batch two.
        input_names: Their names in the graph.
        opset: Version of ONNX's operators.
        simplify: Let the exporter fold and fuse.
    """
    with warnings.catch_warnings():
        # Both inputs share the axis, and the exporter says so of the second.
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used")
        # Deprecations inside torch and copyreg, which do not concern whoever exports.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        # The exporter keeps no guards, which Python 3.13.0 slows down.
        warnings.filterwarnings("ignore", message="Guards may run slower on Python 3.13.0")
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            verbose=False,
            external_data=False,
            opset_version=opset,
            optimize=simplify,
            input_names=list(input_names),
            output_names=list(OUTPUT_NAMES),
            dynamic_shapes=({0: BATCH_AXIS}, {0: BATCH_AXIS}),
        )
    assert program is not None  # noqa: S101 - None only with the old exporter
    model: onnx.ModelProto = program.model_proto
    _drop_traces(model)
    return model


def describe(model: onnx.ModelProto, metadata: Metadata, how: dict[str, object]) -> None:
    """Write what the file says of itself and how it was made, replacing what was there."""
    del model.metadata_props[:]
    onnx.helper.set_model_props(
        model,
        {METADATA_KEY: metadata.to_json(), EXPORT_KEY: json.dumps(how, sort_keys=True)},
    )


def _drop_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes on every node: they name the files of the machine it ran on."""
    graph = model.graph
    for item in (*graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del item.metadata_props[:]
        item.doc_string = ""
    del graph.metadata_props[:]
    graph.doc_string = ""
