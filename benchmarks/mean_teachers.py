"""Put several teachers into one that answers with their mean.

    uv run python benchmarks/mean_teachers.py OUT FIRST SECOND ...

All are folders as ``train_teacher.py`` writes them, for the same emotions.
"""

import argparse
import json
from pathlib import Path

import onnx
from onnx import compose, helper
from train_teacher import SETTINGS, TEACHER

from glamor_cli.atomic import write_text
from glamor_cli.training.onnx_teacher import CLASSES_KEY

_FACE, _ANSWER = "face", "probabilities"


def main() -> None:
    """Compose the graphs, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("teachers", type=Path, nargs="+")
    asked = parser.parse_args()

    models = [onnx.load(folder / TEACHER) for folder in asked.teachers]
    classes = {_classes(model) for model in models}
    if len(classes) > 1:
        parser.error("the teachers tell different emotions")
    asked.out.mkdir(parents=True, exist_ok=True)
    onnx.save(join(models, classes.pop()), asked.out / TEACHER)
    settings = {"mean_of": [folder.name for folder in asked.teachers]}
    write_text(asked.out / SETTINGS, json.dumps(settings) + "\n")


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
