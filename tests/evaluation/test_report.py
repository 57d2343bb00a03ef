"""The report is handed to strangers: whole, harmless, and readable in light, dark and on paper."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from browser import browse, find_barriers, measure_contrasts, needs_browser
from PIL import Image

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.confidence import measure_reliability, measure_risk_coverage
from glamor_cli.evaluation.evaluate import EvaluateConfig, StoreEvaluation, evaluate_store
from glamor_cli.evaluation.gallery import choose_surest
from glamor_cli.evaluation.metrics import compute_metrics
from glamor_cli.evaluation.report import write_report

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "a\u202eb\n",
)


class Page(HTMLParser):
    """What a page is made of, as a browser's parser finds it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids.update(value for name, value in attrs if name == "id")

    def handle_data(self, data):
        self.text += f"{data} "


def evaluation_of(folder: Path, weights: str) -> StoreEvaluation:
    config = EvaluateConfig(folder / "store", folder / weights, device="cpu", threads=1)
    return evaluate_store(config)


def renamed(result: StoreEvaluation, classes: tuple[str, ...]) -> StoreEvaluation:
    """The same pairs, answered by a network of other classes; some have no pairs."""
    generator = np.random.default_rng(0)
    count = len(result.evaluation.labels)
    labels = generator.integers(max(2, len(classes) // 2), size=count)
    probabilities = generator.dirichlet(np.ones(len(classes)), count).astype(np.float32)
    evaluation = replace(
        result.evaluation,
        metrics=compute_metrics(probabilities, labels, classes),
        probabilities=probabilities,
        labels=labels,
    )
    return replace(result, evaluation=evaluation)


@pytest.fixture(scope="module")
def result(folder):
    return evaluation_of(folder, "varied.safetensors")


@pytest.fixture(scope="module")
def report(result, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    write_report(out, result)
    return out / "report.html"


def test_the_page_needs_nothing_but_itself(report):
    page = Page(report)
    assert page.tags["script"] == page.tags["link"] == page.tags["iframe"] == 0
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href") and tag != "a":
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value[:60])
    text = report.read_text(encoding="utf-8")
    assert "@import" not in text
    assert text.count("url(") == text.count("url(#")
    assert page.ids.most_common(1)[0][1] == 1, "two charts share an id"
    assert page.tags["svg"] == 2


def test_the_page_shows_every_figure(report, result):
    text = " ".join(Page(report).text.split())
    metrics = result.evaluation.metrics
    assert f"{metrics.accuracy:.1%}" in text
    assert f"{metrics.macro_f1:.3f}" in text
    for name, figures in zip(metrics.classes, metrics.per_class, strict=True):
        assert f"{name} {figures.support} {figures.precision:.3f}" in text
    for fact in (result.weights.sha256, "torch, cpu", "Student's", "numpy"):
        assert fact in text


def test_of_classes_that_tie_all_are_named(result, tmp_path):
    count = len(result.evaluation.labels)
    labels = np.array([0, 0, 0, 1, 1, 1] + [2] * (count - 6))
    answers = np.array([1, 3, 0, 2, 2, 4] + [2] * (count - 6))
    probabilities = np.eye(7, dtype=np.float32)[answers]
    classes = result.evaluation.metrics.classes
    metrics = compute_metrics(probabilities, labels, classes)
    evaluation = replace(
        result.evaluation, metrics=metrics, probabilities=probabilities, labels=labels
    )
    write_report(tmp_path, replace(result, evaluation=evaluation))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    said = re.findall(r'<td class="text">(.*)</td></tr>', page)[:3]
    assert [re.sub("<.*?>", "", cell) for cell in said] == [
        f"{classes[1]}, {classes[3]} (1 each)",
        f"{classes[2]} (2)",
        "–",
    ]


def test_figures_outlive_a_picture_that_cannot_be_written(result, tmp_path):
    """So do they a disk that becomes full: they are small and come first."""
    (tmp_path / "confusion.png").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        write_report(tmp_path, result)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"confusion.png", "metrics.json", "predictions.csv"}


def test_the_galleries_hold_all_pairs_of_a_small_split(report, result):
    page = Page(report)
    assert page.tags["article"] == len(result.evaluation.sources)
    assert page.tags["img"] == 2 * page.tags["article"]
    assert "context, with the attention over it" in report.read_text(encoding="utf-8")
    for source in result.evaluation.sources:
        assert source in page.text


def test_names_from_strangers_stay_names(result, tmp_path):
    names = tmp_path / "images" / "Happy"
    names.mkdir(parents=True)
    for number, name in enumerate(("<img src=x onerror=alert(1)>", 'quo"te & <b>', "plain")):
        Image.new("RGB", (64, 48), (60 * number, 90, 30)).save(names / f"{name}.png")
    making = PairMaking(boxes=BoxSource.WHOLE)
    preprocess(PreprocessConfig(tmp_path / "images", tmp_path / "store", making, workers=1))
    config = EvaluateConfig(
        tmp_path / "store", result.config.weights, split="all", device="cpu", threads=1
    )
    write_report(tmp_path / "report", renamed(evaluate_store(config), HOSTILE))
    page = Page(tmp_path / "report" / "report.html")
    assert page.tags["script"] == page.tags["b"] - 2 == 0
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<img src=x onerror=alert(1)>.png" in page.text
    assert HOSTILE[0] in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize("count", [2, 20])
def test_few_or_many_classes_with_long_names_some_without_pairs(result, tmp_path, count):
    classes = tuple(f"a class with a really long name, number {i}" for i in range(count))
    write_report(tmp_path, renamed(result, classes))
    page = Page(tmp_path / "report.html")
    assert ("Without pairs in this split" in page.text) == (count == 20)
    for name in classes:
        assert name in page.text


def test_a_network_without_a_context_stream_says_so(folder, tmp_path):
    write_report(tmp_path, evaluation_of(folder, "face-only.safetensors"))
    page = Page(tmp_path / "report.html")
    assert page.text.count("the context is not looked at") == page.tags["article"] > 0
    assert "The attention is drawn over it" not in page.text


def test_a_network_that_is_always_right_or_never(result, tmp_path):
    labels = result.evaluation.labels
    right = np.eye(7, dtype=np.float32)[labels]
    wrong = np.eye(7, dtype=np.float32)[(labels + 1) % 7]
    for name, probabilities, said in (
        ("right", right, "every answer is right"),
        ("wrong", wrong, "no answer is right"),
    ):
        metrics = compute_metrics(probabilities, labels, result.evaluation.metrics.classes)
        evaluation = replace(result.evaluation, metrics=metrics, probabilities=probabilities)
        write_report(tmp_path / name, replace(result, evaluation=evaluation))
        text = Page(tmp_path / name / "report.html").text
        assert said in text
        assert text.count("Left: the face. Right: the context") == 1, "what the pictures show"


def test_the_surest_pairs_come_from_every_label():
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    labels = np.array([0, 0, 0, 0, 1, 2])
    everything = np.ones(6, bool)
    np.testing.assert_array_equal(choose_surest(confidence, labels, everything, 4), [0, 1, 4, 5])
    chosen = np.array([False, True, True, True, False, True])
    np.testing.assert_array_equal(choose_surest(confidence, labels, chosen, 3), [1, 2, 5])
    assert len(choose_surest(confidence, labels, ~everything, 3)) == 0


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_it_in_light_and_dark(report, tmp_path, dark):
    picture = tmp_path / "page.png"
    _, complaints = browse(
        report,
        tmp_path / "profile",
        f"--screenshot={picture}",
        "--window-size=1200,3000",
        dark=dark,
    )
    assert complaints == []
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    paper = pixels[4, 4]
    assert (paper < 40) if dark else (paper > 240)
    # Text and charts stand out from the paper, at the head and where the charts are.
    for rows in (slice(0, 200), slice(900, 1500)):
        assert np.abs(pixels[rows] - paper).max() > 150
    # Nothing is drawn beyond the page's right edge.
    assert (pixels[:, -8:] == paper).all()


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_also_from_every_share_of_a_label(report, tmp_path, dark):
    """By at least 4.5, as WCAG's level AA asks of small text."""
    page = report.read_text(encoding="utf-8")
    cell = re.search(r'(<td style="--s: )[\d.]+("[^>]*>)\d+<small>.*?</td>', page)
    assert cell
    cells = (f"{cell[1]}{n / 100:.2f}{cell[2]}{n}<small>{n}%</small></td>" for n in range(101))
    every = tmp_path / "every.html"
    every.write_text(page.replace(cell[0], "".join(cells)), encoding="utf-8")
    found = measure_contrasts(every, tmp_path, dark=dark)
    assert {f"{n}%" for n in range(101)} < {text for text, _ in found}
    assert [(text, ratio) for text, ratio in found if ratio < 4.5] == []


@needs_browser
def test_it_can_be_read_on_a_narrow_screen(report, tmp_path):
    assert find_barriers(report, tmp_path) == []


def test_the_charts_are_there_in_words(report, result):
    text = " ".join(Page(report).text.split())
    evaluation = result.evaluation
    confidence, right = evaluation.probabilities.max(axis=1), evaluation.right
    bins = measure_reliability(confidence, right)
    for n in range(len(bins.counts)):
        said = f"{bins.edges[n]:.2f}–{bins.edges[n + 1]:.2f} {bins.counts[n]} "
        if bins.counts[n]:
            said += f"{bins.confidence[n]:.3f} {bins.accuracy[n]:.1%} "
        assert said in text
    # Of 23 pairs a tenth is not a whole number.
    risk = measure_risk_coverage(confidence, right)
    assert f"13.0% {risk.risk[2]:.1%} {risk.best_risk[2]:.1%}" in text
    assert f"100.0% {1 - right.mean():.1%} {1 - right.mean():.1%}" in text


@needs_browser
def test_a_browser_shows_strangers_names_as_text(result, tmp_path):
    write_report(tmp_path, renamed(result, HOSTILE))
    document, complaints = browse(tmp_path / "report.html", tmp_path / "profile", "--dump-dom")
    assert complaints == []
    assert "&lt;script&gt;" in document
    assert "<script" not in document


@needs_browser
def test_it_prints_on_a_few_white_pages(report, tmp_path):
    paper = tmp_path / "report.pdf"
    browse(
        report,
        tmp_path / "profile",
        f"--print-to-pdf={paper}",
        "--no-pdf-header-footer",
        dark=True,
    )
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    pages = content.count(b"/Type /Page\n") + content.count(b"/Type/Page\n")
    assert 2 <= pages <= 6
