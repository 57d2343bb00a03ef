"""A student learns from a trained network's answers, and not only from the labels."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
import quick_training
import torch
from onnx import TensorProto, helper
from small_data_sets import write_image

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import CheckpointError, ConfigError, is_lack_of_memory
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.config import BEST, METRICS, TrainConfig, describe_lasting
from glamor_cli.training.find_teacher import find_teacher
from glamor_cli.training.onnx_teacher import CLASSES_KEY, OnnxTeacher
from glamor_cli.training.recipes import FER2013_DISTIL, FER2013_TAUGHT, Recipe, find_recipe
from glamor_cli.training.trainer import train
from glamor_cli.weights.metadata import LearntSplit, Metadata
from glamor_cli.weights.network_file import load_network, read_metadata, save_network
from glamor_cli.weights.registry import find_weights

ALWAYS = 3
"""What the stubborn teacher answers to everything."""
QUICK = replace(quick_training.QUICK, ema_decay=0.0)


def stubborn(path: Path, variant: Variant = Variant.FACE_ONLY, **metadata: object) -> Path:
    """Save a network that is nearly sure of one emotion, whatever it sees."""
    network = GlamorNet(NetworkConfig(variant=variant))
    with torch.no_grad():
        network.classifier.logits.weight.zero_()
        network.classifier.logits.bias.copy_(8 * torch.eye(7)[ALWAYS])
    save_network(path, network, Metadata(name="stubborn", network=network.config, **metadata))
    return path


def brightness_judge(
    path: Path, classes: object = EMOTIONS, *, batch: int | str = "B", softmax: bool = True
) -> Path:
    """Write a classifier that is nearly sure of the first emotion on bright faces, else another."""
    weights = [[9.0] * 3, *[[0.0] * 3] * 5, [-9.0] * 3]
    nodes = [
        helper.make_node("GlobalAveragePool", ["face"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Gemm", ["means", "weights", "bias"], ["logits"], transB=1),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["answer"]),
    ]
    flat = [value for row in weights for value in row]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, [batch, 3, 96, 96])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [batch, 7])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [7, 3], flat),
            helper.make_tensor("bias", TensorProto.FLOAT, [7], [-9.0, *[0.0] * 5, 9.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if classes is not None:
        helper.set_model_props(model, {CLASSES_KEY: json.dumps(classes)})
    onnx.save(model, path)
    return path


def answer_through(path: Path, operator: str, output: onnx.ValueInfoProto, **how: int) -> Path:
    """Write the same classifier, its answer taken through one more operator."""
    model = onnx.load(brightness_judge(path))
    model.graph.node.append(helper.make_node(operator, ["answer"], [output.name], **how))
    del model.graph.output[:]
    model.graph.output.append(output)
    onnx.save(model, path)
    return path


def config(
    store: Path, run: Path, teacher: Path, recipe: Recipe = QUICK, **changes: object
) -> TrainConfig:
    return quick_training.config(store, run, recipe, teacher=teacher, **changes)


def answers(run: Path, store: Path) -> list[int]:
    network, _ = load_network(run / BEST)
    split = PairStore.open(store).split("train")
    faces, contexts = (torch.from_numpy(part) for part in split.pairs(slice(None)))
    with torch.inference_mode():
        return network(faces, contexts).logits.argmax(1).tolist()


def test_a_student_of_the_answers_alone_says_what_its_teacher_says(
    scene_store: Path, tmp_path: Path
) -> None:
    """And its train accuracy is still of the labels, of which a seventh is the teacher's."""
    teacher = stubborn(tmp_path / "teacher.safetensors")
    only = replace(QUICK, teacher_share=1.0, learning_rate=5e-3, epochs=6)
    assert train(config(scene_store, tmp_path / "run", teacher, only)).finished
    assert set(answers(tmp_path / "run", scene_store)) == {ALWAYS}
    last = json.loads((tmp_path / "run" / METRICS).read_text().splitlines()[-1])
    assert last["train_accuracy"] == pytest.approx(1 / 7, abs=0.08)


def test_weights_say_what_their_teacher_learnt_from(scene_store: Path, tmp_path: Path) -> None:
    """A pair that it has seen flatters its student too."""
    once = replace(QUICK, epochs=1)
    seen = LearntSplit("validation", "0" * 64, 7)
    teacher = stubborn(tmp_path / "teacher.safetensors", learnt_from=(seen,))
    train(config(scene_store, tmp_path / "taught", teacher, once))
    metadata = read_metadata(tmp_path / "taught" / BEST)
    assert [one.split for one in metadata.learnt_from] == ["train", "validation"]
    assert metadata.learnt_from[1] == seen
    assert metadata.knows_learnt
    # Of a foreign network nobody knows what it has seen.
    judge = brightness_judge(tmp_path / "judge.onnx")
    train(config(scene_store, tmp_path / "judged", judge, once))
    metadata = read_metadata(tmp_path / "judged" / BEST)
    assert [one.split for one in metadata.learnt_from] == ["train"]
    assert not metadata.knows_learnt


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match="a teacher's share must be from 0 to 1"):
        find_recipe("fer2013-distil", teacher_share=share)
    with pytest.raises(ConfigError, match="the share of another pair must be from 0 to 1"):
        find_recipe("modern", mix=share)


def test_a_teacher_of_other_emotions_is_refused(scene_store: Path, tmp_path: Path) -> None:
    names = ("joy", "fear", "rage", "calm", "grief", "awe", "love")
    teacher = stubborn(tmp_path / "teacher.safetensors", classes=names)
    with pytest.raises(ConfigError, match="predicts joy, fear"):
        train(config(scene_store, tmp_path / "run", teacher))
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_looks_at_contexts_needs_them(scene_store: Path, tmp_path: Path) -> None:
    teacher = stubborn(tmp_path / "teacher.safetensors", Variant.FULL)
    with pytest.raises(ConfigError, match="looks at contexts") as refused:
        train(config(scene_store, tmp_path / "run", teacher))
    assert "--variant full" in refused.value.remedy
    whole = config(scene_store, tmp_path / "whole", teacher, network=NetworkConfig())
    assert train(replace(whole, recipe=replace(QUICK, epochs=1))).finished


def test_any_classifier_in_an_onnx_file_teaches(scene_store: Path, tmp_path: Path) -> None:
    """It sees what the student sees, at full size, in RGB from 0 to 1."""
    judge = brightness_judge(tmp_path / "judge.onnx")
    cpu = torch.device("cpu")
    teacher = find_teacher(judge, EMOTIONS, with_contexts=False, device=cpu, threads=1)
    faces = torch.stack((torch.ones(3, 48, 48), torch.zeros(3, 48, 48)))
    labels = torch.eye(7)[[ALWAYS, ALWAYS]]
    mixed = teacher.mix(labels, 0.25, faces, faces)
    expected = 0.75 * labels + 0.25 * torch.eye(7)[[0, 6]]
    torch.testing.assert_close(mixed, expected, atol=1e-3, rtol=0)

    only = replace(QUICK, teacher_share=1.0)
    assert train(config(scene_store, tmp_path / "run", judge, only)).finished
    assert set(answers(tmp_path / "run", scene_store)) <= {0, 6}


def test_an_onnx_teacher_answers_on_its_process_s_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes of a torchrun would else ask the first; a session on the CPU stands in."""
    asked = []

    def on_cpu(
        model: Path, options: onnxruntime.SessionOptions, **of_cuda: str
    ) -> tuple[onnxruntime.InferenceSession, str]:
        asked.append(of_cuda)
        return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]), ""

    monkeypatch.setattr("glamor_cli.runtimes.onnx.try_cuda", on_cpu)
    judge = brightness_judge(tmp_path / "judge.onnx")
    for device in ("cuda:1", "cuda"):
        OnnxTeacher(judge, device=torch.device(device), threads=1)
    assert asked == [{"device_id": "1"}, {"device_id": "0"}]


def test_onnx_files_that_cannot_teach_are_refused(scene_store: Path, tmp_path: Path) -> None:
    exported = find_weights("glamor-original", suffix=".onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    one, two, three, four, five, other = (tmp_path / f"{number}.onnx" for number in range(6))
    for teacher, reason in (
        (exported, "is not a classifier of faces"),
        (tmp_path / "noise.onnx", "cannot be read as ONNX"),
        (brightness_judge(one, None), "is not a classifier of faces"),
        (brightness_judge(two, classes=3), "classes cannot be read"),
        (brightness_judge(three, classes=EMOTIONS[:5]), "does not answer with 5 probabilities"),
        (brightness_judge(four, softmax=False), "does not answer with 7 probabilities"),
        (brightness_judge(five, batch=1), "fails on a batch of 2"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            train(config(scene_store, tmp_path / "run", teacher))
        assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="predicts Surprise, Sad, Neutral"):
        train(config(scene_store, tmp_path / "run", brightness_judge(other, EMOTIONS[::-1])))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_teacher_may_answer_in_any_floating_point_numbers(kind: int, tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("other", kind, ["B", 7])
    judge = answer_through(tmp_path / "judge.onnx", "Cast", output, to=kind)
    cpu = torch.device("cpu")
    teacher = find_teacher(judge, EMOTIONS, with_contexts=False, device=cpu, threads=1)
    faces = torch.stack((torch.ones(3, 96, 96), torch.zeros(3, 96, 96)))
    mixed = teacher.mix(torch.eye(7)[[ALWAYS, ALWAYS]], 1.0, faces, faces)
    torch.testing.assert_close(mixed, torch.eye(7)[[0, 6]], atol=1e-2, rtol=0)


def test_foreign_answers_and_metadata_are_refused(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("other", TensorProto.FLOAT, None)
    whole = helper.make_tensor_value_info("other", TensorProto.INT64, ["B", 7])
    deep = brightness_judge(tmp_path / "deep.onnx")
    model = onnx.load(deep)
    helper.set_model_props(model, {CLASSES_KEY: "[" * 100_000})
    onnx.save(model, deep)
    latin = brightness_judge(tmp_path / "latin.onnx", ["Surprise"])
    # Of the same length, so that the file stays an ONNX file.
    latin.write_bytes(latin.read_bytes().replace(b"Surprise", b"Surpris\xe9"))
    cpu = torch.device("cpu")
    for teacher, reason in (
        (answer_through(tmp_path / "s.onnx", "SequenceConstruct", sequence), "an array of"),
        (answer_through(tmp_path / "w.onnx", "Cast", whole, to=TensorProto.INT64), "an array of"),
        (deep, "classes cannot be read"),
        (latin, "metadata cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=reason):
            find_teacher(teacher, EMOTIONS, with_contexts=False, device=cpu, threads=1)


def test_a_teacher_without_memory_is_not_taken_for_a_foreign_one(tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("many", TensorProto.FLOAT, None)
    judge = answer_through(tmp_path / "judge.onnx", "Expand", output)
    model = onnx.load(judge)
    # More than any process can address.
    model.graph.initializer.append(helper.make_tensor("to", TensorProto.INT64, [3], [2**43, 1, 1]))
    model.graph.node[-1].input.append("to")
    onnx.save(model, judge)
    with pytest.raises(Exception, match="allocate memory") as refused:
        OnnxTeacher(judge, device=torch.device("cpu"), threads=1)
    assert is_lack_of_memory(refused.value)


def test_a_run_is_resumed_with_its_teacher(scene_store: Path, tmp_path: Path) -> None:
    teacher = stubborn(tmp_path / "teacher.safetensors")
    begun = config(scene_store, tmp_path / "run", teacher, replace(QUICK, epochs=1))
    train(begun)
    moved = Path(shutil.copy(teacher, tmp_path / "moved.safetensors"))
    assert train(replace(begun, teacher=moved), resume=True).finished
    with pytest.raises(ConfigError, match="was started with other weights of a teacher"):
        train(replace(begun, teacher=None), resume=True)
    stubborn(teacher, temperature=2.0)
    with pytest.raises(ConfigError, match="was started with other weights of a teacher"):
        train(begun, resume=True)


def test_processes_with_other_teachers_notice(scene_store: Path, tmp_path: Path) -> None:
    """The path may be the same and the file another, on another machine."""
    store = PairStore.open(scene_store)
    asked = config(scene_store, tmp_path / "run", stubborn(tmp_path / "teacher.safetensors"))
    one = describe_lasting(asked, store)
    stubborn(tmp_path / "teacher.safetensors", temperature=2.0)
    assert describe_lasting(asked, store) != one


@pytest.mark.parametrize("recipe", [FER2013_TAUGHT, FER2013_DISTIL], ids=lambda one: one.name)
def test_the_recipes_with_a_teacher_ask_for_one(
    recipe: Recipe, scene_store: Path, tmp_path: Path
) -> None:
    taught = replace(recipe, epochs=1, batch_size=8)
    alone = replace(config(scene_store, tmp_path / "run", None, taught), teacher=None)
    with pytest.raises(ConfigError, match=f"recipe {recipe.name} learns from a teacher"):
        train(alone)
    assert not (tmp_path / "run" / BEST).exists()
    teacher = stubborn(tmp_path / "teacher.safetensors")
    assert train(replace(alone, teacher=teacher)).finished


def test_soft_labels_may_be_the_teachers_answers(tmp_path: Path) -> None:
    """So the shipped weights' last encoder learnt from a store of them."""
    lines = []
    for number in range(12):
        write_image(tmp_path / f"{number}.png", seed=number)
        lines.append(f"{number}.png,Happy,0,0,0,2,0,1,0\n")
    head = "path,label,Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise\n"
    (tmp_path / "taught.csv").write_text(head + "".join(lines))
    making = PairMaking(boxes=BoxSource.WHOLE)
    preprocess(PreprocessConfig(tmp_path / "taught.csv", tmp_path / "pairs", making, workers=1))
    taught = replace(FER2013_TAUGHT, epochs=1, batch_size=8)
    asked = config(tmp_path / "pairs", tmp_path / "run", None, taught)
    assert train(replace(asked, train_split="all")).finished
