"""The pipeline over a stream: how far it reads ahead, in what order it answers, how it ends."""

import threading

import numpy as np
import pytest
import skimage.data
from PIL import Image

import glamor_cli.predict.predictor
from glamor_cli.predict.predictor import PredictConfig, Predictor, predict_images
from glamor_cli.predict.sources import SourceImage
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.vision.detectors import open_detector


@pytest.fixture(scope="module")
def engines(onnx_weights):
    return open_detector(threads=1), open_runtime(onnx_weights, device="cpu", threads=1)


def predictor(engines, **settings):
    return Predictor(*engines, PredictConfig(device="cpu", **{"threads": 2, "batch": 4} | settings))


class Stream:
    """Black images; counts how many were taken."""

    def __init__(self, count, shape=(64, 64, 3)):
        self.taken = 0
        self._count = count
        self._shape = shape

    def __iter__(self):
        for number in range(self._count):
            self.taken += 1
            yield SourceImage(str(number), np.zeros(self._shape, np.uint8))


def test_a_stream_is_read_a_few_images_ahead(engines):
    stream = Stream(200)
    answers = predictor(engines).predict(stream)
    for answered in range(1, 150):
        next(answers)
        # Two batches, and one image more than there are threads.
        assert stream.taken <= answered + 2 * 4 + 3
    answers.close()
    assert stream.taken < 200


def test_large_images_are_not_read_ahead(engines, monkeypatch):
    monkeypatch.setattr(glamor_cli.predict.predictor, "AHEAD_PIXELS", 300 * 300)
    stream = Stream(6, (300, 300, 3))
    answers = predictor(engines, batch=1, threads=4).predict(stream)
    next(answers)
    assert stream.taken <= 3
    answers.close()


def test_images_kept_for_drawing_close_a_batch_early(engines, monkeypatch):
    monkeypatch.setattr(glamor_cli.predict.predictor, "HELD_PIXELS", 2 * 64 * 64)
    stream = Stream(60)
    answers = predictor(engines, batch=100, keep_images=True).predict(stream)
    for answered in range(1, 50):
        assert next(answers).image.shape == (64, 64, 3)
        # Of each batch of two, the other one; the next batch; and as many as there are threads.
        assert stream.taken <= answered + 1 + 2 + 2
    answers.close()
    assert stream.taken < 60


def test_large_files_are_known_before_they_are_decoded(engines, monkeypatch, tmp_path):
    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(glamor_cli.predict.predictor, "AHEAD_PIXELS", 300 * 300)
    taken = []

    def paths():
        for number in range(6):
            taken.append(number)
            yield tmp_path / "large.png"

    answers = predictor(engines, batch=1, threads=4).predict(paths())
    next(answers)
    assert len(taken) <= 3
    answers.close()


def test_answers_keep_the_order_whatever_took_longest(engines):
    astronaut = skimage.data.astronaut()
    # The slowest comes first.
    images = [
        SourceImage("two faces", np.hstack([astronaut, astronaut])),
        *(SourceImage(str(side), np.zeros((side, side, 3), np.uint8)) for side in (40, 30, 20)),
        SourceImage("one face", astronaut[::2, ::2].copy()),
        SourceImage("unreadable", None, "it is a test"),
        SourceImage("one face again", astronaut),
    ]
    answers = list(predictor(engines, threads=4).predict(images))
    assert [answer.source for answer in answers] == [image.source for image in images]
    assert [len(answer.faces) for answer in answers] == [2, 0, 0, 0, 1, 0, 1]
    assert answers[5].reason == "it is a test"


def test_a_camera_may_fill_one_array_anew_for_each_frame(engines):
    portrait = skimage.data.astronaut()
    frames = [np.full_like(portrait, 90) if number % 2 else portrait for number in range(8)]

    def camera():
        pixels = np.empty_like(portrait)
        for number, frame in enumerate(frames):
            pixels[:] = frame
            yield SourceImage(str(number), pixels)

    answers = list(predictor(engines, keep_images=True).predict(camera()))
    assert [len(answer.faces) for answer in answers] == [1, 0] * 4
    for answer, frame in zip(answers, frames, strict=True):
        np.testing.assert_array_equal(answer.image, frame)


def test_the_network_is_used_from_one_thread_alone(engines):
    threads = set()
    detector, runtime = engines

    class Watched:
        metadata = runtime.metadata

        def __call__(self, face, context):
            threads.add(threading.get_ident())
            return runtime(face, context)

    images = [SourceImage(str(number), skimage.data.astronaut()[::2, ::2]) for number in range(6)]
    config = PredictConfig(threads=4, batch=1)
    answers = list(Predictor(detector, Watched(), config).predict(images))
    assert all(answer.faces for answer in answers)
    assert len(threads) == 1


def test_an_error_in_the_stream_is_raised_and_no_thread_is_left(engines):
    before = set(threading.enumerate())

    def broken():
        yield SourceImage("0", skimage.data.astronaut()[::2, ::2])
        raise OSError("the camera was unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(predictor(engines).predict(broken()))
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in started)


def test_every_file_of_a_folder_is_answered_in_order(onnx_weights, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "small.png")
    for number in range(300):
        (tmp_path / f"{number:04d}.png").hardlink_to(tmp_path / "small.png")
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=2)
    names = [answer.source.rsplit("/", 1)[1] for answer in predict_images([tmp_path], config)]
    assert names == [*(f"{number:04d}.png" for number in range(300)), "small.png"]
