"""Explaining one person's answer: what is hidden is what was said, and one picture comes out."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from typer.testing import CliRunner
from video_clips import grays, write_clip

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.predict.explain import Explanation, Hidden, explain
from glamor_cli.predict.predictions import FacePrediction
from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.predict.sources import list_sources
from glamor_cli.rendering.explanation import draw_explanation
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.vision.attention_map import extreme_squares
from glamor_cli.vision.options import DetectorKind
from glamor_cli.vision.pairs import Box, Pair


def test_the_most_attended_region_holds_the_hot_cell():
    attention = np.full((7, 7), 0.01, np.float32)
    attention[5, 2] = 0.5
    most, least = extreme_squares(attention)
    assert most.x1 <= 32 and most.x2 >= 48 and most.y1 <= 80 and most.y2 >= 96
    apart = least.x2 <= 32 or least.x1 >= 48 or least.y2 <= 80 or least.y1 >= 96
    assert apart


def test_the_answers_with_something_hidden_are_the_networks(photographs, config, onnx_weights):
    explanation = explain(photographs / "group.jpg", config, 3)
    assert (explanation.number, explanation.faces) == (3, 6)
    pair, most = explanation.pair, explanation.most
    covered = pair.context.copy()
    covered[:, most.y1 : most.y2, most.x1 : most.x2] = 0
    runtime = open_runtime(onnx_weights, device="cpu", threads=1)
    expected = runtime(
        np.stack([pair.face, np.zeros_like(pair.face), pair.face]),
        np.stack([pair.context, pair.context, covered]),
    ).probabilities
    found = [explanation.face.probabilities, *(h.probabilities for h in explanation.hidden[:2])]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert [h.what for h in explanation.hidden] == [
        "the face",
        "where it looked most",
        "where it looked least",
    ]


def test_the_command_writes_one_picture(photographs, onnx_weights, tmp_path):
    target = tmp_path / "why.png"
    arguments = ["explain", str(photographs / "sub" / "[bold], x\ny.png"), "--output", str(target)]
    result = CliRunner().invoke(app, [*arguments, "--weights", str(onnx_weights)])
    assert result.exit_code == 0, result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["why.png"]
    with Image.open(target) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 800


def test_another_face_and_the_name_that_the_picture_gets(
    photographs, config, onnx_weights, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["explain", str(photographs / "group.jpg"), "--face", "3", "--threads", "1"]
    result = CliRunner().invoke(app, [*words, "--weights", str(onnx_weights), "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    third = explain(photographs / "group.jpg", config, 3)
    emotion, probability = third.classes[third.face.emotion], third.face.probabilities.max()
    expected = f"{emotion} {probability:.1%}, face 3 of 6: group-explained.png"
    assert expected in result.stderr
    assert "replaced" not in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["group-explained.png"]
    # Of another picture that differs in its ending, the same name comes.
    shutil.copy(photographs / "astronaut.png", tmp_path / "group.png")
    words[1:4] = [str(tmp_path / "group.png")]
    result = CliRunner().invoke(app, [*words, "--weights", str(onnx_weights), "--device", "cpu"])
    assert result.stderr.endswith("1 picture of earlier runs was replaced\n")
    (tmp_path / "group.png").unlink()
    # A photograph of such a name is not written over, unless it is named.
    shutil.copy(photographs / "group.jpg", tmp_path / "group-explained.png")
    words[1:4] = [str(photographs / "group.jpg")]
    refused = CliRunner().invoke(app, [*words, "--weights", str(onnx_weights)]).exception
    assert isinstance(refused, ConfigError)
    assert refused.what == "group-explained.png already exists and was not made by glamor explain"
    words += ["--weights", str(onnx_weights), "--device", "cpu", "--output", "group-explained.png"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    assert "replaced" not in result.stderr
    # It is no photograph to those who predict everything in the folder.
    shutil.copy(photographs / "group.jpg", tmp_path / "not-explained.png")
    assert [path.name for path in list_sources([tmp_path])] == ["not-explained.png"]
    (tmp_path / "group-explained.png").rename(tmp_path / "Why.PNG")
    assert [path.name for path in list_sources([tmp_path])] == ["not-explained.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_a_pipe_gets_the_picture(photographs, onnx_weights, tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as reader:
        got = reader.submit(pipe.read_bytes)
        words = ["explain", str(photographs / "astronaut.png"), "--threads", "1", "--device", "cpu"]
        words += ["--weights", str(onnx_weights), "--output", str(pipe)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.stderr
        assert got.result(timeout=60).startswith(b"\x89PNG")


def test_of_two_emotions_that_tie_the_first_is_the_first_choice_everywhere(photographs, config):
    """In bfloat16, faces of photographs have such answers."""
    explanation = explain(photographs / "astronaut.png", config)
    tied = np.array([0.1, 0, 0.3, 0.1, 0.3, 0.1, 0.1], np.float32)
    face = replace(explanation.face, probabilities=tied)
    assert (face.emotion, face.first_two) == (2, (2, 4))
    figure = draw_explanation(replace(explanation, face=face))
    notes = {text.get_text().split("  ")[-1]: text for text in figure.findobj(Text)}
    assert notes["first choice"].get_position()[1] == 2
    assert notes["second choice"].get_position()[1] == 4


def test_a_picture_of_an_unknown_kind_is_refused(photographs, tmp_path):
    arguments = ["explain", str(photographs / "astronaut.png"), "--output"]
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "why.txt")]).exception
    assert isinstance(refused, ConfigError)
    assert "--output" in refused.remedy


def test_a_video_is_said_to_be_one(tmp_path):
    path = write_clip(tmp_path / "clip.mp4", grays(3))
    error = CliRunner().invoke(app, ["explain", str(path)]).exception
    assert isinstance(error, DataError)
    assert error.what == f"{path} is a video, and only pictures are explained"
    assert "glamor predict" in error.remedy


def test_a_name_that_the_system_refuses_is_told_of_videos_too(tmp_path):
    error = CliRunner().invoke(app, ["explain", str(tmp_path / ("x" * 300 + ".mp4"))]).exception
    assert isinstance(error, DataError)
    assert "too long" in error.what


def test_a_face_that_is_not_there(photographs, config):
    with pytest.raises(ConfigError, match="1 to 6") as caught:
        explain(photographs / "group.jpg", config, 7)
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match="no face"):
        explain(photographs / "coffee.jpg", config)


def test_a_photograph_that_a_detector_refuses_is_not_one_without_faces(tmp_path, onnx_weights):
    pytest.importorskip("dlib", reason="the extra dlib is not installed")
    Image.new("RGB", (2100, 2100)).save(tmp_path / "large.png")
    config = PredictConfig(weights=onnx_weights, device="cpu", detector=DetectorKind.DLIB)
    with pytest.raises(DataError, match="too large for dlib"):
        explain(tmp_path / "large.png", config)


@pytest.mark.parametrize(
    ("shape", "sure", "classes"),
    [
        ((300, 300), 1.0, 7),
        ((100, 1200), 0.45, 7),
        ((1200, 100), 0.15, 7),
        ((300, 300), 0.5, 2),
        ((300, 300), 0.5, 40),
        ((100, 1200), 0.5, 40),
    ],
)
def test_no_word_leaves_the_picture_or_lies_over_another(shape, sure, classes):
    rng = np.random.default_rng(0)
    height, width = shape
    probabilities = np.full(classes, (1 - sure) / (classes - 1), np.float32)
    probabilities[classes // 2] = sure
    others = np.roll(probabilities, 1)
    attention = rng.random((7, 7), np.float32)
    box = Box(width // 4, height // 4, width // 2, height // 2)
    streams = np.array([0.995, 0.005], np.float32)
    explanation = Explanation(
        source="folder/" + "a very long name " * 9 + "$.jpg",
        image=rng.integers(0, 256, (height, width, 3), np.uint8),
        number=12,
        faces=12,
        face=FacePrediction(box, 0.9, probabilities, attention, streams),
        classes=tuple(
            f"An emotion with ${n} and a name of sixty letters, no fewer than so many"
            for n in range(classes)
        ),
        pair=Pair(rng.random((3, 96, 96), np.float32), rng.random((3, 112, 112), np.float32)),
        most=extreme_squares(attention)[0],
        hidden=tuple(
            Hidden(what, others)
            for what in ("the face", "where it looked most", "where it looked least")
        ),
    )
    figure = draw_explanation(explanation)
    figure.draw_without_rendering()
    edge = figure.bbox
    words = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
    ]
    assert len(words) > 11 + 2 * classes
    for index, (said, place) in enumerate(words):
        inside = place.x0 >= 0 and place.y0 >= 0 and place.x1 <= edge.x1 and place.y1 <= edge.y1
        assert inside, said
        for other, its_place in words[index + 1 :]:
            assert not place.shrunk(0.98, 0.8).overlaps(its_place.shrunk(0.98, 0.8)), (said, other)
