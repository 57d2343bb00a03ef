"""Annotated pictures: any size, any number of faces, names that harm nothing."""

import numpy as np
import pytest
import skimage.data
from permissions import bound_by_permissions
from PIL import Image, ImageColor, ImageDraw

from glamor_cli.errors import ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.predictions import FacePrediction, ImagePrediction
from glamor_cli.rendering.annotate import Label, PictureFolder, annotate, draw_labels
from glamor_cli.rendering.colours import (
    BLUE,
    CONTEXT_COLOUR,
    FACE_COLOUR,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    PAPER,
    PURPLE,
    SKY,
    emotion_colour,
)
from glamor_cli.rendering.insets import Style
from glamor_cli.rendering.videos import VideoFolder
from glamor_cli.vision.pairs import Box

LONG_NAMES = tuple(f"{name}, a feeling with a very long name [bold]" for name in EMOTIONS)


def prediction(image, boxes, classes=EMOTIONS, source="photo.png", share=0.4):
    faces = []
    for number, box in enumerate(boxes):
        probabilities = np.full(7, 0.02, np.float32)
        probabilities[number % 7] = 0.88
        attention = np.full((7, 7), 0.01, np.float32)
        attention[number % 7, number // 7 % 7] = 0.5
        weights = np.array([share, 1 - share], np.float32)
        faces.append(FacePrediction(Box(*box), 0.9, probabilities, attention, weights))
    return ImagePrediction(source, classes, tuple(faces), image=image)


def where(picture: Image.Image, colour: str) -> np.ndarray:
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=-1)


def has_colour(picture: Image.Image, colour: str) -> bool:
    return bool(where(picture, colour).any())


def test_boxes_are_drawn_just_outside_the_faces():
    """The picture is enlarged twice, and its lines are 3 pixels wide."""
    image = np.full((300, 450, 3), 90, np.uint8)
    boxes = [(100, 60, 200, 160), (300, 60, 400, 160)]
    picture = annotate(prediction(image, boxes))
    for index, (x1, y1, x2, y2) in enumerate(2 * np.array(boxes)):
        found = where(picture, emotion_colour(EMOTIONS, index))
        across = [*range(x1 - 3, x1), *range(x2, x2 + 3)]
        down = [*range(y1 - 3, y1), *range(y2, y2 + 3)]
        assert np.flatnonzero(found[(y1 + y2) // 2]).tolist() == across
        assert np.flatnonzero(found[: y2 + 50, x2 - 10]).tolist() == down


def test_labels_cover_neither_each_other_nor_a_face():
    corners = [*((x, y) for y in (200, 240) for x in (200, 240)), (4, 4)]
    boxes = [(x, y, x + 30, y + 30) for x, y in corners]
    colours = (BLUE, GREEN, ORANGE, PURPLE, SKY)
    labels = [Label(("Surprise 88%",), *face) for face in zip(boxes, colours, strict=True)]
    sizes = set()
    canvas = Image.new("RGB", (900, 600))
    draw_labels(canvas, labels, canvas.size, Style.of(900, EMOTIONS))
    for colour in colours:
        rows, columns = np.nonzero(where(canvas, colour))
        (top, bottom), (left, right) = ((found.min(), found.max()) for found in (rows, columns))
        around = where(canvas.crop((left - 1, top - 1, right + 2, bottom + 2)), INK)
        assert around[[0, -1]].all(), "its frame is whole"
        assert around[:, [0, -1]].all()
        sizes.add((bottom - top, right - left))
    assert len(sizes) == 1, "none is cut off by another's"
    for box in boxes:
        assert not np.asarray(canvas.crop(box)).any()


def has_line(picture: Image.Image, words: str) -> bool:
    """Whether a line of a picture's lesser text begins with words, at the left edge."""
    style, pixels = Style.of(picture.width, EMOTIONS), np.asarray(picture)
    width = round(style.small_font.getlength(words))
    for tenth in range(10):  # lines begin at any part of a pixel
        line = Image.new("RGB", (width, 2 * style.small), PAPER)
        place = (0, style.small + tenth / 10)
        ImageDraw.Draw(line).text(place, words, FAINT, style.small_font, anchor="lm")
        letters, strip = np.asarray(line), pixels[:, style.gap : style.gap + width]
        rows = range(len(pixels) - line.height + 1)
        if any(np.array_equal(strip[row : row + line.height], letters) for row in rows):
            return True
    return False


def test_emotions_in_other_languages_are_written_in_their_letters():
    """Letters that a font lacks are all the same box, so such names of one length look alike."""
    image = np.full((600, 900, 3), 90, np.uint8)
    for names in (("Dégoût", "Dêgöût"), ("Страх", "Гордо"), ("Θυμός", "Φόβος")):
        one, other = (
            annotate(prediction(image, [(40, 90, 200, 250)], (name, *EMOTIONS[1:])))
            for name in names
        )
        assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("number", [1, 2, 12])
@pytest.mark.parametrize("classes", [EMOTIONS, LONG_NAMES])
def test_every_face_has_its_colour_and_there_is_room_for_all(number, classes):
    boxes = [
        (20 + 160 * (n % 3), 10 + 120 * (n // 3), 90 + 160 * (n % 3), 80 + 120 * (n // 3))
        for n in range(number)
    ]
    picture = annotate(prediction(skimage.data.astronaut(), boxes, classes))
    assert picture.width == 900
    assert picture.height > 900
    for index in range(min(number, 7)):
        assert has_colour(picture, emotion_colour(classes, index))


@pytest.mark.parametrize(
    "classes",
    [
        EMOTIONS,
        (EMOTIONS[0], "Contempt", *EMOTIONS[1:]),
        ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral"),
        ("Negative", "Neutral", "Positive"),
    ],
)
def test_the_colours_of_all_classes_differ(classes):
    count = len(classes)
    assert len({emotion_colour(classes, index) for index in range(count)}) == count


@pytest.mark.parametrize(
    ("size", "shown"),
    [((200, 150), 900), ((1200, 800), 1200), ((4000, 3000), 1800)],
)
def test_the_size_keeps_text_legible(size, shown):
    image = np.asarray(Image.fromarray(skimage.data.astronaut()).resize(size))
    assert annotate(prediction(image, [(20, 20, 60, 60)])).width == shown


@pytest.mark.parametrize("shape", [(1, 1), (3, 6000), (6000, 3), (40, 30)])
@pytest.mark.parametrize("faces", [0, 1, 2])
def test_extreme_shapes_are_drawn(shape, faces):
    image = np.zeros((*shape, 3), np.uint8)
    picture = annotate(prediction(image, [(0, 0, 1, 1)] * faces))
    assert min(picture.size) > 20


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 1.0])
def test_streams_that_weigh_nothing(share):
    picture = annotate(prediction(skimage.data.astronaut(), [(100, 100, 200, 200)], share=share))
    strip = np.asarray(picture)[picture.width :]  # below the square photograph
    face, context = (
        (strip == ImageColor.getrgb(colour)).all(-1).sum(-1)
        for colour in (FACE_COLOUR, CONTEXT_COLOUR)
    )
    # The bar's upper edge, which no letter covers, is its fullest row.
    row = (face + context).argmax()
    assert face[row] / (face[row] + context[row]) == pytest.approx(share, abs=0.01)


def test_the_legend_fits_networks_whose_attention_does_not_ask_the_face():
    picture = annotate(prediction(skimage.data.astronaut(), [(100, 100, 200, 200)]))
    assert has_line(picture, "attention: a little")
    assert not has_line(picture, "attention: a lot")


@pytest.mark.parametrize("name", ["Anger", "D\u00e9go\u00fbt"])
@pytest.mark.parametrize("height", [900, 1800])
def test_the_legend_is_whole_below_narrow_pictures(height, name):
    """They are darkened at the edges too, which its last words explain."""
    classes = (name, *EMOTIONS[1:])
    tall = prediction(np.zeros((height, 300, 3), np.uint8), [(100, 100, 200, 200)], classes)
    picture = np.asarray(annotate(tall))
    legend = picture[-2 * Style.of(height, classes).small :]
    written = np.flatnonzero((legend != ImageColor.getrgb(PAPER)).any(axis=(0, 2)))
    assert 0.9 < written.max() / picture.shape[1] < 0.99


def test_boxes_in_one_heap_are_drawn():
    heap = prediction(skimage.data.astronaut(), [(100, 100, 130, 130)] * 12, LONG_NAMES)
    picture = annotate(heap)
    for index in range(7):
        assert has_colour(picture, emotion_colour(LONG_NAMES, index))


def test_a_card_of_a_narrow_picture_frames_the_face_where_it_is():
    image = np.full((4464, 744, 3), 90, np.uint8)
    boxes = [(200, 4000, 500, 4300), (200, 100, 500, 400)]
    picture = annotate(prediction(image, boxes))
    strip = picture.crop((0, 1800, picture.width, picture.height))  # below the picture
    gap = Style.of(1800, EMOTIONS).gap
    card = strip.crop((gap, gap, gap + 40, strip.height))
    rows = np.flatnonzero((np.asarray(card) != ImageColor.getrgb(PAPER)).any(axis=-1)[:, 5])
    height = np.flatnonzero(np.diff(rows) > 1)[0] + 1  # white is between it and the card's text
    framed = np.flatnonzero(where(card, emotion_colour(EMOTIONS, 0)).any(axis=1)[:height])
    middle = (framed[0] + framed[-1] + 1) / 2
    assert middle == pytest.approx(4150 / 4464 * height, abs=1)


def test_very_many_faces_still_fit_in_a_jpeg(tmp_path):
    boxes = [(x, y, x + 12, y + 12) for x in range(0, 500, 20) for y in range(0, 400, 20)]
    assert len(boxes) == 500
    crowd = prediction(skimage.data.astronaut(), boxes)
    saved = PictureFolder(tmp_path).save(crowd)
    with Image.open(saved) as picture:
        assert picture.height < 20_000
    annotated = annotate(crowd)
    for index in range(7):
        assert has_colour(annotated, emotion_colour(EMOTIONS, index))


@pytest.mark.parametrize(("faces", "said"), [(61, "and 1 more face "), (62, "and 2 more faces")])
def test_faces_without_a_card_are_counted(faces, said):
    boxes = [(8 * n % 480, 10, 8 * n % 480 + 6, 20) for n in range(faces)]
    assert has_line(annotate(prediction(skimage.data.astronaut(), boxes)), said)


def test_saved_names_do_not_collide_and_stay_in_the_folder(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    sources = [
        "a.png",
        "a.jpg",
        "sub/a.png",
        "/elsewhere/A.png",
        "../a.bmp",
        "a-2.png",
        "line\nbreak.png",
        "é" * 150 + ".png",
        "caf\udce9.png",
        "..png",
    ]
    folder = PictureFolder(tmp_path / "out")
    paths = [folder.save(prediction(image, [], source=source)) for source in sources]
    assert all(path.is_file() and path.parent == tmp_path / "out" for path in paths)
    assert len({path.name.casefold() for path in paths}) == len(sources)
    assert len(list((tmp_path / "out").iterdir())) == len(sources)
    assert all(path.name.isprintable() for path in paths)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    with Image.open(paths[0]) as saved:
        assert saved.format == "JPEG"


def test_no_source_is_written_over(tmp_path):
    image = np.zeros((20, 20, 3), np.uint8)
    (tmp_path / "out").mkdir()
    source = tmp_path / "out" / "photo-emotions.jpg"
    source.write_bytes(b"somebody's photograph")
    elsewhere = tmp_path / "other-emotions.jpg"
    elsewhere.touch()
    led_to = tmp_path / "out" / "link-emotions.jpg"
    led_to.write_bytes(b"another's")
    link = tmp_path / "link.jpg"
    link.symlink_to(led_to)
    folder = PictureFolder(tmp_path / "out", [source, elsewhere, link, "x" * 5000, tmp_path])
    names = ("photo.png", "other.png", "link.png", "photo.gif")
    saved = [folder.save(prediction(image, [], source=name)).name for name in names]
    assert saved == [
        "photo-2-emotions.jpg",
        "other-emotions.jpg",
        "link-2-emotions.jpg",
        "photo-3-emotions.jpg",
    ]
    assert source.read_bytes() == b"somebody's photograph"
    assert led_to.read_bytes() == b"another's"


@pytest.mark.parametrize("kind", [PictureFolder, VideoFolder])
def test_sources_that_can_be_gone_through_only_once_are_refused(kind, tmp_path):
    """They would be used up before ``predict`` sees one."""
    sources = tmp_path.glob("*.jpg")
    with pytest.raises(TypeError, match="give a list"):
        kind(tmp_path / "pictures", sources)
    assert not (tmp_path / "pictures").exists()


def test_an_unreadable_image_has_no_picture(tmp_path):
    assert PictureFolder(tmp_path).save(ImagePrediction("x", EMOTIONS, reason="broken")) is None


def test_a_file_in_the_folders_place_is_an_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken"):
        PictureFolder(tmp_path / "taken")


def test_a_folder_that_may_not_be_entered_is_told(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    with bound_by_permissions(), pytest.raises(ConfigError, match="locked"):
        PictureFolder(locked / "pictures")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file is a file"):
        PictureFolder(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path / "disk that is not there")
    with pytest.raises(ConfigError, match=r"cannot save pictures in .*exists"):
        PictureFolder(tmp_path / "link")
