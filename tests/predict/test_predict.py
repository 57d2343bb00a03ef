"""From real photographs to rows: what is answered, for whom, and that nothing stops the run."""

import io
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

import glamor_cli.predict
from glamor_cli.errors import ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.predictor import PredictConfig, open_predictor, predict, predict_images
from glamor_cli.predict.rows import COLUMNS, VIDEO_COLUMNS
from glamor_cli.predict.sources import SourceImage
from glamor_cli.predict.video import choose_columns, predict_sources
from glamor_cli.rendering.annotate import PictureFolder
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.vision.pairs import Box, make_pair
from glamor_cli.vision.status import Status


@pytest.fixture(scope="module")
def rows(photographs, config):
    return list(predict([photographs], config))


def of(rows, ending):
    return [row for row in rows if row.source.endswith(ending)]


def test_every_image_of_a_folder_is_answered_in_order(rows):
    sources = list(dict.fromkeys(row.source.rsplit("/", 1)[1] for row in rows))
    assert sources == [
        "astronaut.png",
        "coffee.jpg",
        "fake.jpg",
        "group.jpg",
        "[bold], x\ny.png",
    ]


def test_one_row_a_face_numbered_from_one(rows):
    assert [row.face for row in of(rows, "group.jpg")] == [1, 2, 3, 4, 5, 6]
    assert [row.face for row in of(rows, "astronaut.png")] == [1]
    scores = [row.detector_score for row in of(rows, "group.jpg")]
    assert scores == sorted(scores, reverse=True)


def test_an_image_without_a_face_and_a_fake_one_have_their_rows(rows):
    (coffee,) = of(rows, "coffee.jpg")
    assert (coffee.status, coffee.face, coffee.emotion) == (Status.NO_FACE, None, None)
    (fake,) = of(rows, "fake.jpg")
    assert fake.status is Status.ERROR
    assert "fake.jpg" in fake.reason


def test_the_box_holds_the_face_and_lies_in_the_image(rows):
    (row,) = of(rows, "astronaut.png")
    x1, y1, x2, y2 = row.box
    # The eyes and mouth of the astronaut, by eye.
    assert x1 < 195 and x2 > 255 and y1 < 95 and y2 > 155
    for row in rows:
        if row.box is not None:
            x1, y1, x2, y2 = row.box
            assert 0 <= x1 < x2 <= 1536 and 0 <= y1 < y2 <= 1024


def test_the_answer_is_the_networks_for_this_pair(rows, onnx_weights):
    (row,) = of(rows, "astronaut.png")
    pair = make_pair(skimage.data.astronaut(), Box(*row.box))
    output = open_runtime(onnx_weights, device="cpu", threads=1)(
        pair.face[None], pair.context[None]
    )
    assert list(row.probabilities) == list(EMOTIONS)
    np.testing.assert_allclose(list(row.probabilities.values()), output.probabilities[0], atol=2e-6)
    np.testing.assert_allclose(
        (row.face_weight, row.context_weight), output.stream_weights[0], atol=2e-6
    )
    assert row.emotion == EMOTIONS[output.probabilities[0].argmax()]
    assert row.probability == max(row.probabilities.values())


def test_the_mirror_image_is_asked_too_on_request(photographs, config, onnx_weights):
    source = photographs / "astronaut.png"
    (row,) = predict([source], replace(config, flip=True))
    pair = make_pair(skimage.data.astronaut(), Box(*row.box))
    runtime = open_runtime(onnx_weights, device="cpu", threads=1)
    seen = runtime(pair.face[None], pair.context[None]).probabilities[0]
    face, context = pair.face[None, ..., ::-1].copy(), pair.context[None, ..., ::-1].copy()
    mirrored = runtime(face, context).probabilities[0]
    assert np.abs(seen - mirrored).max() > 1e-4
    np.testing.assert_allclose(list(row.probabilities.values()), (seen + mirrored) / 2, atol=2e-6)


@pytest.mark.parametrize("batch", [1, 4])
def test_batches_across_images_do_not_mix_up_answers(rows, photographs, onnx_weights, batch):
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, batch=batch)
    others = list(predict([photographs], config))
    assert len({row.probability for row in rows if row.status is Status.OK}) > 4
    for row, other in zip(rows, others, strict=True):
        assert (row.source, row.face, row.status, row.box) == (
            other.source,
            other.face,
            other.status,
            other.box,
        )
        if row.probabilities is not None:
            np.testing.assert_allclose(
                list(row.probabilities.values()), list(other.probabilities.values()), atol=1e-5
            )


def test_a_mistyped_path_and_an_empty_folder_do_not_stop_the_others(photographs, config, tmp_path):
    too_long = "x" * 5000
    sources = ["nowhere.jpg", tmp_path, too_long, photographs / "*.png"]
    rows = list(predict(sources, config))
    assert [row.status for row in rows] == [Status.ERROR] * 3 + [Status.OK]
    assert "nowhere.jpg" in rows[0].reason
    assert str(tmp_path) in rows[1].reason


@pytest.mark.parametrize("kind", [str, Path])
def test_a_single_source_is_not_taken_letter_by_letter(rows, photographs, config, kind, tmp_path):
    source = kind(photographs / "astronaut.png")
    (expected,) = of(rows, "astronaut.png")
    assert list(predict(source, config)) == [expected]
    (image,) = predict_sources(source, config)
    assert image.rows() == [expected]
    assert choose_columns(kind(tmp_path / "clip.mp4"))[0] == VIDEO_COLUMNS
    shutil.copy(source, tmp_path / "a-emotions.jpg")
    pictures = PictureFolder(tmp_path, kind(tmp_path / "a-emotions.jpg"))
    assert pictures.path("a.jpg", "-emotions.jpg").name != "a-emotions.jpg"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_predictor_that_is_kept_takes_what_predict_takes(rows, photographs, config, kind):
    """A program that opens it once writes the same sources as one that calls predict."""
    predictor = open_predictor(config)
    path = kind(photographs / "astronaut.png")
    (expected,) = of(rows, "astronaut.png")
    image = SourceImage(str(path), skimage.data.astronaut())
    for sources in (path, [path], image, (image,)):
        for answers in (predictor.predict(sources), predict_images(sources, config)):
            assert [row for answer in answers for row in answer.rows()] == [expected]
    (answer,) = predictor.predict(iter([path]))
    assert answer.rows() == [expected]
    for many in (photographs, photographs / "*.*"):
        answered = [row for answer in predictor.predict(kind(many)) for row in answer.rows()]
        assert answered == list(predict(many, config))


def test_images_that_were_read_go_beside_videos_and_pictures_too(rows, photographs, config):
    (expected,) = of(rows, "astronaut.png")
    image = SourceImage(expected.source, skimage.data.astronaut())
    (answer,) = predict_sources(image, config)
    assert answer.rows() == [expected]
    assert choose_columns([image]) == (COLUMNS, None)
    PictureFolder(photographs, [image])


@pytest.mark.parametrize(
    ("sources", "kind"),
    [
        (np.zeros((9, 9, 3), np.uint8), "ndarray"),
        ([np.zeros((9, 9, 3), np.uint8)], "ndarray"),
        (b"\xff\xd8\xff", "bytes"),
        (io.BytesIO(), "BytesIO"),
        (None, "NoneType"),
        ([None], "NoneType"),
        (Image.new("RGB", (9, 9)), "Image"),
    ],
)
def test_what_is_no_source_is_refused_with_what_to_give(config, sources, kind):
    for ask in (predict, predict_images, predict_sources):
        with pytest.raises(TypeError, match=rf"not {kind}: give pixels as SourceImage\(name"):
            list(ask(sources, config))


def test_pixels_that_never_came_are_an_error_and_not_a_picture_without_faces(config):
    """cv2.imread gives None for a file that it cannot read, and so do cameras."""
    (answer,) = open_predictor(config).predict(SourceImage("camera", None))
    (row,) = answer.rows()
    assert row.status is Status.ERROR
    assert "camera has no pixels" in row.reason
    assert row.remedy


@pytest.mark.parametrize(
    "pixels",
    [Image.new("RGB", (8, 8)), [[[0, 0, 0]]], b"pixels", np.zeros((8, 8), np.uint8)],
    ids=["pillow", "list", "bytes", "gray"],
)
def test_pixels_of_another_kind_are_an_error_and_cost_the_others_nothing(config, pixels):
    images = [SourceImage("wrong", pixels), SourceImage("right", np.zeros((8, 8, 3), np.uint8))]
    wrong, right = predict(images, config)
    assert (wrong.status, right.status) == (Status.ERROR, Status.NO_FACE)
    assert wrong.reason.startswith("the image is ")


def test_a_video_is_not_called_a_damaged_image(config, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (row,) = predict(tmp_path / "clip.mp4", config)
    assert row.status is Status.ERROR
    assert "is a video" in row.reason
    assert "predict_sources" in row.remedy


def test_min_score_leaves_out_what_the_detector_doubts(photographs, onnx_weights, rows):
    scores = [row.detector_score for row in of(rows, "group.jpg")]
    between = (scores[2] + scores[3]) / 2
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, min_score=between)
    assert len(list(predict([photographs / "group.jpg"], config))) == 3


def test_pixels_are_kept_only_on_demand(photographs, onnx_weights, config):
    source = photographs / "astronaut.png"
    (without,) = predict_images([source], config)
    assert without.image is None
    keeping = PredictConfig(weights=onnx_weights, device="cpu", threads=1, keep_images=True)
    (kept,) = predict_images([source], keeping)
    np.testing.assert_array_equal(kept.image, skimage.data.astronaut())
    kept.image[:10] = 255  # they are to be drawn on
    assert kept.faces[0].attention.shape == (7, 7)


def test_missing_weights_are_an_error_before_any_row(photographs):
    with pytest.raises(ConfigError, match=r"nothing\.onnx"):
        next(predict([photographs], PredictConfig(weights="nothing.onnx")))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"min_score": -0.1},
        {"min_score": math.nan},
        {"min_score": math.inf},
        {"threads": 0},
    ],
)
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError):
        PredictConfig(**wrong)


def test_saving_beside_the_sources_harms_no_source_and_is_not_predicted_again(
    photographs, onnx_weights, tmp_path
):
    shutil.copy(photographs / "astronaut.png", tmp_path / "photo.jpg")
    before = (tmp_path / "photo.jpg").read_bytes()
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, keep_images=True)
    for _ in range(2):
        folder = PictureFolder(tmp_path)
        paths = [folder.save(image) for image in predict_images([tmp_path], config)]
        assert [path.name for path in paths] == ["photo-emotions.jpg"]
    assert (tmp_path / "photo.jpg").read_bytes() == before


def test_a_photograph_with_the_name_of_a_saved_picture_is_answered_and_kept(
    photographs, onnx_weights, tmp_path
):
    shutil.copy(photographs / "astronaut.png", tmp_path / "photo.jpg")
    shutil.copy(photographs / "astronaut.png", tmp_path / "photo-emotions.jpg")
    photograph = (tmp_path / "photo.jpg").read_bytes()
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, keep_images=True)
    for sources in (tmp_path, tmp_path / "photo.jpg", tmp_path):
        folder = PictureFolder(tmp_path, [sources])
        for image in predict_images([sources], config):
            folder.save(image)
        assert {path.name for path in tmp_path.iterdir()} == {
            *("photo.jpg", "photo-2-emotions.jpg"),
            *("photo-emotions.jpg", "photo-emotions-emotions.jpg"),
        }
        for name in ("photo.jpg", "photo-emotions.jpg"):
            assert (tmp_path / name).read_bytes() == photograph
    answered = [row.source for row in predict([tmp_path], config)]
    assert answered == [str(tmp_path / name) for name in ("photo-emotions.jpg", "photo.jpg")]


def test_a_folder_of_saved_pictures_alone_is_told(photographs, onnx_weights, tmp_path):
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, keep_images=True)
    for image in predict_images([photographs / "astronaut.png"], config):
        PictureFolder(tmp_path).save(image)
    (nothing,) = predict([tmp_path / "*.jpg"], config)
    assert nothing.status is Status.ERROR
    assert "only what earlier runs saved" in nothing.reason
    (named,) = predict([tmp_path / "astronaut-emotions.jpg"], config)
    assert named.status is Status.OK


def test_an_interpreter_names_what_there_is():
    assert set(glamor_cli.predict.__all__) <= set(dir(glamor_cli.predict))
