"""Settings given as text, as JSON, YAML and argument parsers give them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glamor_cli.ablation.run import AblationConfig
from glamor_cli.bench.options import Backend, BenchConfig
from glamor_cli.bench.options import Precision as BenchPrecision
from glamor_cli.bench.options import Target as BenchTarget
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.demo.options import DemoConfig
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.attention.hiding import HidingConfig, make_filling
from glamor_cli.evaluation.attention.options import Fill
from glamor_cli.evaluation.attention.run import AttentionConfig
from glamor_cli.evaluation.compare import CompareConfig
from glamor_cli.evaluation.evaluate import EvaluateConfig
from glamor_cli.export.options import ExportConfig, ExportPrecision, Int8Form
from glamor_cli.export.tensorrt_build import EngineConfig
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.encoders import OriginalEncoder, make_encoder
from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.runtimes.base import require_runtime
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.runtimes.options import Device, Provider
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.precision import choose_precision
from glamor_cli.training.recipes import FER2013, SCENES, Optimizer, Schedule
from glamor_cli.vision.options import DetectorKind
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

TRAINING = TrainConfig(Path("store"), Path("run"), SCENES)
ABLATION = AblationConfig(TRAINING)
JUDGING = EvaluateConfig(Path("store"))
CHOICES = [
    (NetworkConfig(), "encoder", Encoder.RESNET18),
    (NetworkConfig(), "variant", Variant.FACE_ONLY),
    (HidingConfig(), "fill", Fill.MEAN),
    (TRAINING, "precision", TrainPrecision.BF16),
    (TRAINING, "device", Device.CPU),
    (SCENES, "optimizer", Optimizer.SGD),
    (SCENES, "schedule", Schedule.LINEAR),
    (ExportConfig(), "precision", ExportPrecision.FP16),
    (ExportConfig(), "int8_form", Int8Form.TENSORRT),
    (ExportConfig(), "provider", Provider.OPENVINO),
    (EngineConfig(), "target", Target.RTX),
    (PairMaking(), "boxes", BoxSource.WHOLE),
    (PairMaking(), "detector", DetectorKind.DLIB),
    (PredictConfig(), "detector", DetectorKind.DLIB),
    (PredictConfig(), "device", Device.CUDA),
    (PredictConfig(), "provider", Provider.CPU),
    (DemoConfig(), "device", Device.CPU),
    (JUDGING, "device", Device.CUDA),
    (JUDGING, "provider", Provider.OPENVINO),
    (CompareConfig(Path("store"), ("a", "b")), "device", Device.CUDA),
    (CompareConfig(Path("store"), ("a", "b")), "provider", Provider.OPENVINO),
    (AttentionConfig(Path("store")), "device", Device.CUDA),
    (AttentionConfig(Path("store")), "provider", Provider.OPENVINO),
]
MANY = [
    (ABLATION, "variants", (Variant.FULL, Variant.FACE_ONLY)),
    (BenchConfig(), "targets", (BenchTarget.CORE,)),
    (BenchConfig(), "backends", (Backend.FUSED, Backend.ORT)),
    (BenchConfig(), "precisions", (BenchPrecision.FP16,)),
]


@pytest.mark.parametrize(("settings", "name", "choice"), CHOICES)
def test_the_text_of_a_choice_is_the_choice(settings, name, choice) -> None:
    """It equals the choice, so a setting that kept it would be found by nobody."""
    assert getattr(replace(settings, **{name: str(choice)}), name) is choice
    with pytest.raises(ConfigError, match="'nonsense'"):
        replace(settings, **{name: "nonsense"})


def test_a_lone_text_is_one_of_several() -> None:
    assert BenchConfig(exports="network.onnx").exports == (Path("network.onnx"),)
    with pytest.raises(ConfigError, match="at least two networks, not 1"):
        CompareConfig(Path("store"), "glamor-original")


def test_numpy_s_numbers_are_kept_as_python_s() -> None:
    """As of a sweep: JSON would make texts of them, and weights refuse such a seed."""
    face = replace(SCENES.face, degrees=np.float32(8))
    recipe = replace(SCENES, epochs=np.int64(3), learning_rate=np.float32(0.5), face=face)
    recipe = replace(recipe, betas=(np.float32(0.5), 0.75))
    asked = replace(TRAINING, seed=np.int64(7), threads=np.int32(1), recipe=recipe)
    same = replace(SCENES, epochs=3, learning_rate=0.5, face=replace(SCENES.face, degrees=8.0))
    same = replace(same, betas=(0.5, 0.75))
    assert asked.to_dict() == replace(TRAINING, seed=7, threads=1, recipe=same).to_dict()
    assert type(asked.seed) is type(recipe.epochs) is int
    assert type(recipe.learning_rate) is float
    seeds = replace(ABLATION, seeds=np.arange(3)).seeds
    assert seeds == (0, 1, 2)
    assert {type(seed) for seed in seeds} == {int}
    with pytest.raises(TypeError):
        replace(ABLATION, seeds=(0.5,))


def test_the_text_of_a_choice_is_the_choice_where_it_is_an_argument() -> None:
    contexts = np.ones((1, 3, 112, 112), np.float32)
    assert not make_filling(contexts, "black").any()
    assert isinstance(make_encoder("original"), OriginalEncoder)
    assert choose_precision("auto", torch.device("cpu"), mixed=False) is TrainPrecision.FP32
    original = find_weights(DEFAULT_WEIGHTS)
    assert TorchRuntime(original, device="cpu", precision="fp32").provider == "cpu"
    for ask in (
        lambda: make_filling(contexts, "gpu"),
        lambda: make_encoder("gpu"),
        lambda: choose_precision("gpu", torch.device("cpu")),
        lambda: OnnxRuntime(find_weights(DEFAULT_WEIGHTS), device="gpu"),
        lambda: require_runtime("gpu", None),
    ):
        with pytest.raises(ConfigError, match=r"there is no .* 'gpu'"):
            ask()


def test_an_unknown_source_of_boxes_is_called_so() -> None:
    with pytest.raises(ConfigError, match="there is no source of boxes 'face'") as refused:
        PairMaking(boxes="face")
    assert "auto, detect, crop-files, manifest, whole" in refused.value.remedy


@pytest.mark.parametrize(("settings", "name", "choices"), MANY)
def test_so_are_the_texts_of_several(settings, name, choices) -> None:
    for several in (tuple(map(str, choices)), list(map(str, choices)), list(choices)):
        found = getattr(replace(settings, **{name: several}), name)
        assert isinstance(found, tuple)
        assert all(one is other for one, other in zip(found, choices, strict=True))
    assert getattr(replace(settings, **{name: str(choices[0])}), name) == choices[:1]
    with pytest.raises(ConfigError, match="'nonsense'"):
        replace(settings, **{name: ("nonsense",)})


@pytest.mark.parametrize(
    ("settings", "wrong", "says"),
    [
        (NetworkConfig(), {"hidden": 0}, "hidden must be a whole number from 1 to 4096, not 0"),
        (NetworkConfig(), {"hidden": 8192}, "hidden must be a whole number from 1 to 4096"),
        (NetworkConfig(), {"classes": 7.0}, "classes must be a whole number from 1 to 4096"),
        (NetworkConfig(), {"dropout": 1.0}, "the dropout must be 0 or more and below 1, not 1.0"),
        (NetworkConfig(), {"dropout": "0.5"}, "the dropout must be 0 or more and below 1"),
        (SCENES, {"epochs": 0}, "the number of epochs must be at least 1, not 0"),
        (SCENES, {"batch_size": -4}, "the batch size must be at least 1, not -4"),
        (SCENES, {"learning_rate": float("nan")}, "the learning rate must be from 0 to 1e"),
        (SCENES, {"warm_up": 5}, "the warm-up must be from 0 to 1, not 5"),
        (SCENES, {"label_smoothing": -1}, "the label smoothing must be from 0 to 1, not -1"),
        (SCENES, {"synthetic_contexts": float("nan")}, "generated contexts must be from 0 to 1"),
        (SCENES, {"epoch_share": 2}, "an epoch's share of the training split must be from 0 to 1"),
        (SCENES, {"epoch_share": 0}, "an epoch must see some of the training split"),
        (SCENES, {"dropout": 1.0}, "the dropout must be 0 or more and below 1, not 1.0"),
        (SCENES, {"dropout": -0.1}, "the dropout must be 0 or more and below 1, not -0.1"),
        (SCENES, {"betas": (1.0, 0.9)}, "a decay rate of AdamW's moments must be 0 or more and b"),
        (SCENES, {"momentum": -1.0}, "the momentum must be 0 or more and below 1, not -1.0"),
        (SCENES, {"ema_decay": -1}, "the decay of the parameters' average must be 0 or more"),
        (SCENES, {"norm_momentum": 3.0}, "the batch norms' statistics must be from 0 to 1"),
        (SCENES, {"weight_decay": -1}, "the weight decay must be from 0 to 1e.30, not -1"),
        (SCENES, {"gradient_clip": float("nan")}, "largest norm of the gradients must be from 0"),
        (FER2013, {"epochs": 4}, "none of 4 epochs would use faces at full size"),
        (SCENES.small_faces[0], {"size": 8}, "small faces must have 16 to 96 pixels, not 8"),
        (SCENES.small_faces[0], {"until": 1.5}, "stretch with small faces must be from 0 to 1"),
        (ABLATION, {"seeds": (0, 2**64)}, "the seed must be 0 or more and below 2"),
        (ABLATION, {"seeds": ()}, "there are no seeds to train with"),
        (ABLATION, {"variants": ()}, "there are no variants to train"),
        (DemoConfig(), {"epochs": 0}, "the number of epochs must be at least 1, not 0"),
        (DemoConfig(), {"seeds": (-1,)}, "the seed must be 0 or more"),
        (ExportConfig(), {"calibration_pairs": 0}, "pairs to calibrate on must be at least 1"),
        (ExportConfig(), {"verification_pairs": -1}, "pairs to verify on must be at least 1"),
        (ExportConfig(), {"threads": 0}, "the number of threads must be at least 1, not 0"),
        (TRAINING, {"seed": -1}, "the seed must be 0 or more and below 2\\*\\*63, not -1"),
        (TRAINING, {"seed": 2**64}, "the seed must be 0 or more and below 2"),
        (TRAINING, {"checkpoint_every": float("nan")}, "the time between checkpoints must be 0"),
        (TRAINING, {"threads": 0}, "the number of threads must be at least 1, not 0"),
        (JUDGING, {"batch": 0}, "the batch size must be at least 1, not 0"),
        (JUDGING, {"threads": 0}, "the number of threads must be at least 1, not 0"),
        (PredictConfig(), {"batch": 0}, "the batch size must be at least 1, not 0"),
        (PredictConfig(), {"threads": 0}, "the number of threads must be at least 1, not 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, wrong, says) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(settings, **wrong)
