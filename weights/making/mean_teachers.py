"""Put several teachers into one that answers with their mean.

    uv run python weights/making/mean_teachers.py OUT FIRST SECOND ...

Each is a folder as ``train_teacher.py`` writes it, or of a training or a mean of ours that looks at
faces alone; all predict the same emotions.
"""

import argparse
import json
from pathlib import Path

import onnx
from onnx import compose, helper
from torch import Tensor, nn
from train_teacher import SETTINGS, TEACHER, export

from glamor_cli.files.atomic import write_text
from glamor_cli.network.config import Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.config import BEST
from glamor_cli.training.onnx_teacher import CLASSES_KEY
from glamor_cli.weights.network_file import load_network

_FACE, _ANSWER = "face", "probabilities"


def main() -> None:
    """Compose the graphs, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("teachers", type=Path, nargs="+")
    asked = parser.parse_args()

    asked.out.mkdir(parents=True, exist_ok=True)
    models = []
    for number, folder in enumerate(asked.teachers):
        file = folder / TEACHER
        if not file.exists():
            file = asked.out / f"{number}-{TEACHER}"
            export_ours(folder / BEST, file)
        models.append(onnx.load(file))
        if file.parent == asked.out:
            file.unlink()  # a part of the whole now
    classes = {_classes(model) for model in models}
    if len(classes) > 1:
        parser.error("the teachers predict different emotions")
    onnx.save(join(models, classes.pop()), asked.out / TEACHER)
    settings = {"mean_of": [folder.name for folder in asked.teachers]}
    write_text(asked.out / SETTINGS, json.dumps(settings) + "\n")


class FaceAlone(nn.Module):
    """A network of ours that is shown nothing but faces.

    Args:
        network: Of the variant that looks at faces alone.
    """

    def __init__(self, network: GlamorNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> Tensor:
        """Answer to faces (B, 3, 96, 96), RGB in [0, 1], with logits (B, classes)."""
        logits: Tensor = self.network(faces, faces).logits
        return logits


def export_ours(weights: Path, path: Path) -> None:
    """Write a network of ours as an ONNX file that can teach."""
    network, metadata = load_network(weights)
    if metadata.network.variant is not Variant.FACE_ONLY:
        raise SystemExit(f"{weights} looks at contexts; give a training of --variant face-only")
    export(FaceAlone(network), metadata.classes, path)


def join(models: list[onnx.ModelProto], classes: str) -> onnx.ModelProto:
    """Give a model that runs all of them on one input and averages what they answer."""
    graphs = []
    for number, model in enumerate(models):
        graph = compose.add_prefix_graph(model.graph, f"{number}/")
        for node in graph.node:
            node.input[:] = [_FACE if name == f"{number}/{_FACE}" else name for name in node.input]
        graphs.append(graph)
    answers = [f"{number}/{_ANSWER}" for number in range(len(models))]
    nodes = [node for graph in graphs for node in graph.node]
    nodes.append(helper.make_node("Mean", answers, [_ANSWER]))
    first = models[0]
    whole = helper.make_graph(
        nodes,
        "teachers",
        first.graph.input,
        first.graph.output,
        [value for graph in graphs for value in graph.initializer],
    )
    model = helper.make_model(whole, opset_imports=first.opset_import, ir_version=first.ir_version)
    helper.set_model_props(model, {CLASSES_KEY: classes})
    onnx.checker.check_model(model)
    return model


def _classes(model: onnx.ModelProto) -> str:
    return next(entry.value for entry in model.metadata_props if entry.key == CLASSES_KEY)


if __name__ == "__main__":
    main()
