"""The page of a running training: it reloads until the end, and needs nothing but itself."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import ask, browse, find_barriers, measure_contrasts, needs_browser
from PIL import Image

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.training.candidates import candidate_path
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.curves import draw_curves
from glamor_cli.training.epoch_metrics import EpochMetrics, best_epoch
from glamor_cli.training.live_report import LIVE_REPORT, write_live_report
from glamor_cli.training.progress import Progress
from glamor_cli.training.recipes import MODERN, SmallFaces
from glamor_cli.training.trainer import train

EPOCHS = 4


def config(run: Path, **changes: object) -> TrainConfig:
    recipe = replace(MODERN, name="<quick> & dirty", epochs=EPOCHS)
    return TrainConfig(store=Path("pairs"), run=run, recipe=recipe, **changes)


def history(epochs: int) -> list[EpochMetrics]:
    return [
        EpochMetrics(
            epoch=epoch,
            train_loss=2 / epoch,
            train_accuracy=1 - 0.5 / epoch,
            validation_loss=2.5 / epoch,
            validation_accuracy=(0.2, 0.6, 0.4, 0.5)[(epoch - 1) % 4],
            learning_rate=1e-3 / epoch,
            seconds=300.0,
            images_per_second=100.0,
        )
        for epoch in range(1, epochs + 1)
    ]


def page_after(run: Path, epochs: int, *, seconds: float = 300.0, stopped: bool = False) -> str:
    asked = config(run)
    finished = [replace(entry, seconds=seconds) for entry in history(epochs)]
    write_live_report(asked, finished, best_epoch(finished, asked.recipe), "val", stopped=stopped)
    return (run / LIVE_REPORT).read_text(encoding="utf-8")


def test_it_says_how_far_the_run_is(tmp_path):
    running = page_after(tmp_path, 3)
    assert "Epoch 3 of 4 is done" in running
    assert '<dd><span class="value">5 min' in running  # one epoch of 300 s is left
    stopped = page_after(tmp_path, 3, stopped=True)
    assert "Stopped after epoch 3 of 4" in stopped
    finished = page_after(tmp_path, 4)
    assert "Finished: 4 epochs" in finished
    assert "20 min" in finished
    for page in (running, stopped, finished):
        assert 'http-equiv="refresh"' not in page
        assert page.count("<script") == page.count("script-src") == (page is running)


def count_loads(run: Path, use: str = "") -> int:
    """How often the page is loaded in four and a half minutes, by a clock that does not wait."""
    script = f"said.textContent++; {use}"
    return int(ask(run / LIVE_REPORT, run, script, "--virtual-time-budget=270000"))


@needs_browser
@pytest.mark.parametrize(("seconds", "loads"), [(5, 5), (150, 2)])
def test_it_reloads_itself_once_a_minute_or_an_epoch(tmp_path, seconds, loads):
    page_after(tmp_path, 3, seconds=seconds)
    assert count_loads(tmp_path) == loads


@needs_browser
@pytest.mark.parametrize(
    "use",
    [
        "page.querySelector('input').click()",
        "frame.focus(); page.querySelector('a').focus()",
        "page.getSelection().selectAllChildren(page.querySelector('table'))",
    ],
)
def test_it_does_not_reload_while_somebody_uses_it(tmp_path, use):
    page_after(tmp_path, 3, seconds=5)
    assert count_loads(tmp_path, use) == 1


@needs_browser
def test_a_click_on_a_table_does_not_keep_it_from_reloading(tmp_path):
    page_after(tmp_path, 3, seconds=5)
    click = "frame.focus(); page.querySelector('.scroll').focus({focusVisible: false})"
    assert count_loads(tmp_path, click) == 5


@needs_browser
def test_it_stays_as_it_is_when_nobody_trains(tmp_path):
    for ended in ({"epochs": 4}, {"epochs": 3, "stopped": True}):
        page_after(tmp_path, seconds=5, **ended)
        assert count_loads(tmp_path) == 1


def test_it_shows_the_best_epoch_and_needs_nothing_else(tmp_path):
    page = page_after(tmp_path, 3)
    assert "60.0%" in page
    assert "2 <b>best</b>" in page
    assert page.count("<svg") == 2
    assert "src=" not in page
    assert "<quick>" not in page
    assert "&lt;quick&gt; &amp; dirty" in page


def test_epochs_on_small_faces_are_never_the_best(tmp_path):
    """Their weights are not kept, so the page must not promise their accuracy."""
    recipe = replace(MODERN, epochs=EPOCHS, small_faces=(SmallFaces(until=0.5, size=48),))
    small = TrainConfig(store=Path("pairs"), run=tmp_path, recipe=recipe)
    write_live_report(small, history(2), best_epoch(history(2), recipe), "val")
    assert "none yet: faces are still small" in (tmp_path / LIVE_REPORT).read_text("utf-8")
    write_live_report(small, history(4), best_epoch(history(4), recipe), "val")
    assert "4 <b>best</b>" in (tmp_path / LIVE_REPORT).read_text("utf-8")


def test_among_equals_the_one_of_the_least_loss_is_the_best():
    """With few validation pairs ties are the rule, and the first epoch has learnt the least."""
    recipe = replace(MODERN, epochs=EPOCHS)
    tied = [replace(entry, validation_accuracy=0.6) for entry in history(3)]
    tied[2] = replace(tied[2], validation_loss=1.5)
    assert [entry.validation_loss for entry in tied] == [2.5, 1.25, 1.5]
    assert best_epoch(tied, recipe) is tied[1]
    assert best_epoch([*tied, replace(history(4)[3], validation_accuracy=0.5)], recipe) is tied[1]
    assert best_epoch([tied[0], tied[0]], recipe) is tied[0]


def test_the_picture_marks_the_epoch_that_the_page_marks():
    """Epoch 2 is the most accurate, but was seen on small faces; its weights are not kept."""
    recipe = replace(MODERN, epochs=EPOCHS, small_faces=(SmallFaces(until=0.5, size=48),))
    assert best_epoch(history(2), recipe) is None
    figure = draw_curves(history(4), best_epoch(history(4), recipe))
    assert [text.get_text() for text in figure.axes[1].texts] == ["best 50.0%"]
    figure = draw_curves(history(4), best_epoch(history(4), replace(MODERN, epochs=EPOCHS)))
    assert [text.get_text() for text in figure.axes[1].texts] == ["best 60.0%"]


def test_a_training_leaves_it(scene_store, tmp_path):
    recipe = replace(MODERN, epochs=1, batch_size=8)
    face_only = NetworkConfig(variant=Variant.FACE_ONLY)
    train(TrainConfig(scene_store, tmp_path / "run", recipe, network=face_only, threads=1))
    page = (tmp_path / "run" / LIVE_REPORT).read_text(encoding="utf-8")
    assert "Finished: 1 epoch." in page
    assert "1 epochs" not in page
    assert "face-only" in page
    assert "learning from train, validated on validation" in page


def test_a_stopped_training_says_so_until_it_is_resumed(scene_store, tmp_path):
    """Whether it was asked to stop, or failed."""
    recipe = replace(MODERN, epochs=3, batch_size=8)
    quick = TrainConfig(
        scene_store,
        tmp_path,
        recipe,
        network=NetworkConfig(variant=Variant.FACE_ONLY),
        threads=1,
    )
    pages = []

    def look(progress: Progress) -> None:
        if progress.epoch > 1:
            pages.append((tmp_path / LIVE_REPORT).read_text(encoding="utf-8"))
            signal.raise_signal(signal.SIGTERM)

    def fail(progress: Progress) -> None:
        look(progress)
        raise DataError("the disk is gone", "Look for it.")

    train(quick, on_progress=look)
    pages.append((tmp_path / LIVE_REPORT).read_text(encoding="utf-8"))
    with pytest.raises(DataError):
        train(quick, resume=True, on_progress=fail)
    pages.append((tmp_path / LIVE_REPORT).read_text(encoding="utf-8"))
    running = [page.count("<script") for page in pages]
    assert running == [1, 0, 1, 0]
    assert all("Stopped after epoch 1 of 3" in page for page in pages[1::2])


def test_weights_that_could_not_be_written_are_not_called_the_best(scene_store, tmp_path):
    recipe = replace(MODERN, epochs=3, batch_size=14, small_faces=(SmallFaces(0.34, 48),))
    face_only = NetworkConfig(variant=Variant.FACE_ONLY)

    def block(progress: Progress) -> None:
        if progress.epoch == 2:
            (candidate_path(tmp_path, 1) / "in the way").mkdir(parents=True, exist_ok=True)

    asked = TrainConfig(scene_store, tmp_path, recipe, network=face_only, threads=1)
    with pytest.raises(ConfigError):
        train(asked, on_progress=block)
    page = (tmp_path / LIVE_REPORT).read_text(encoding="utf-8")
    assert "Stopped after epoch 1 of 3" in page
    assert "none yet: faces are still small" in page


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out(tmp_path, dark):
    """By at least 4.5, as WCAG's level AA asks of small text."""
    page_after(tmp_path, 3)
    found = measure_contrasts(tmp_path / LIVE_REPORT, tmp_path, dark=dark)
    assert "Reload" in {text for text, _ in found}
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


@needs_browser
def test_it_can_be_read_on_a_narrow_screen(tmp_path):
    page_after(tmp_path, 3)
    assert find_barriers(tmp_path / LIVE_REPORT, tmp_path) == []


def test_every_epoch_of_the_curves_is_there_in_words(tmp_path):
    recipe = replace(MODERN, epochs=40)
    asked = TrainConfig(store=Path("pairs"), run=tmp_path, recipe=recipe)
    write_live_report(asked, history(20), None, "val")
    page = (tmp_path / LIVE_REPORT).read_text(encoding="utf-8")
    folded = page.index("<details>")
    for entry in history(20):
        assert (page.index(f">{2.5 / entry.epoch:.4f}<") > folded) == (entry.epoch <= 8)


@needs_browser
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_browser_shows_it(tmp_path, epochs):
    page_after(tmp_path, epochs)
    picture = tmp_path / "page.png"
    _, complaints = browse(
        tmp_path / LIVE_REPORT,
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1000,900",
    )
    assert complaints == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The validation curve's vermilion is somewhere among the curves.
    assert (np.abs(pixels[250:700] - (213, 94, 0)).sum(axis=2) < 30).any()
