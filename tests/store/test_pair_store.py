"""Opening stores: what is not a whole store of this schema is refused with the reason."""

import json
import os
import re
import shutil
import zlib

import numpy as np
import pytest
from small_data_sets import write_image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.cli.render import console
from glamor_cli.data.store.format import CONTEXTS, FACES
from glamor_cli.data.store.index import IndexRow
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.pairs import Box
from glamor_cli.vision.status import Status


@pytest.fixture(scope="module")
def finished(tmp_path_factory, authors_data_set, run):
    store = tmp_path_factory.mktemp("finished") / "store"
    run(authors_data_set, store)
    return store


@pytest.fixture
def store(tmp_path, finished):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "store")


def change(store, **values):
    path = store / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("array", [FACES, CONTEXTS])
@pytest.mark.parametrize("rows", [0, 9, 1_000_000_000])
def test_headers_are_what_numpy_writes(tmp_path, array, rows):
    path = tmp_path / "a.npy"
    path.write_bytes(array.header(rows))
    with path.open("rb") as handle:
        assert np.lib.format.read_magic(handle) == (1, 0)
        header = np.lib.format.read_array_header_1_0(handle)
        assert handle.tell() == 128
    assert header == ((rows, *array.row_shape), False, np.uint8)


def test_arrays_are_memory_mapped_and_plain_npy(finished):
    split = PairStore.open(finished).split("train")
    assert isinstance(split.faces, np.memmap)
    np.testing.assert_array_equal(np.load(finished / "train" / "faces.npy"), split.faces)
    np.testing.assert_array_equal(np.load(finished / "train" / "contexts.npy"), split.contexts)


@pytest.mark.parametrize("votes", ["", ",1,0,0,3,0,0,{}"])
def test_pictures_have_the_checksums_of_their_pixels_alone(tmp_path, run, votes):
    lines = ["path,label" + (",Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise" if votes else "")]
    for number in (0, 1, 2):
        if number != 1:  # it fails, and has no row
            write_image(tmp_path / f"{number}.png", seed=number)
        lines.append(f"{number}.png,Happy" + votes.format(number))
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    run(tmp_path / "manifest.csv", tmp_path / "pairs", "whole")
    store = PairStore.open(tmp_path / "pairs")
    assert store.info.soft_labels == bool(votes)
    faces, contexts, *_ = store.arrays("all")
    assert [(entry.source, crc32) for entry, crc32 in store.pictures("all")] == [
        ("0.png", zlib.crc32(faces[0].tobytes() + contexts[0].tobytes())),
        ("2.png", zlib.crc32(faces[1].tobytes() + contexts[1].tobytes())),
    ]


def rename_split(store, name):
    (store / "test").rename(store / name)
    values = json.loads((store / "store.json").read_text())
    for part in ("source", "counts", "index_sha256"):
        values[part][name] = values[part].pop("test")
    change(store, **values)


def write_info(store, old, new):
    path = store / "store.json"
    path.write_text(path.read_text().replace(old, new, 1))


def replace_by_device(store):
    path = store / "test" / "faces.npy"
    path.unlink()
    path.symlink_to(os.devnull)


def cut(store):
    with (store / "train" / "contexts.npy").open("r+b") as handle:
        handle.truncate(5000)


def lengthen(store):
    with (store / "train" / "faces.npy").open("ab") as handle:
        handle.write(b"x")


def replace_array(store):
    np.save(store / "test" / "faces.npy", np.zeros((6, 96, 96, 3), np.float32))


def swap_splits(store):
    shutil.copy(store / "test" / "faces.npy", store / "train" / "faces.npy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda store: (store / "store.json").unlink(), "it has no store.json"),
        (lambda store: (store / "store.json").write_text("{"), "store.json is damaged"),
        (lambda store: (store / "store.json").write_text("[1]"), "store.json is damaged"),
        (lambda store: (store / "store.json").write_text("[" * 100_000), "store.json is damaged"),
        (lambda store: change(store, schema=2), "is a store of schema 2, not 1"),
        # Of a later version: calling it damaged would cost its owner the work of making it again.
        (
            lambda store: change(store, cameras=3),
            r"a store with unknown entries \['cameras'\]\nUse the version of glamor that made it",
        ),
        (lambda store: change(store, complete=False), "is unfinished"),
        (lambda store: change(store, counts={}), "store.json is damaged"),
        (lambda store: change(store, index_sha256={"train": "0"}), "store.json is damaged"),
        (lambda store: change(store, geometry="round"), "store.json is damaged"),
        (lambda store: change(store, classes=["../../x", "Happy"]), "bad class name '../../x'"),
        (lambda store: change(store, classes=[".."]), r"bad class name '\.\.'"),
        (lambda store: change(store, classes=["two\nlines"]), "bad class name"),
        (lambda store: rename_split(store, "a\x1b[31m"), r"bad split name 'a\\x1b\[31m'"),
        (lambda store: rename_split(store, "two\nlines"), "bad split name"),
        (lambda store: write_info(store, '"read": 9', '"read": 1e999'), "store.json is damaged"),
        (lambda store: write_info(store, "{", " " * (17 << 20) + "{"), "cannot read .*larger"),
        (lambda store: change(store, source={"../up": {}}, counts={"../up": {}}), "damaged"),
        (lambda store: change(store, soft_labels=True), "cannot read .*targets.npy"),
        (lambda store: (store / "test" / "faces.npy").unlink(), "cannot read .*faces.npy"),
        (lambda store: change(store, versions={"pillow": {}}), "more than texts and numbers"),
        (lambda store: change(store, boxes=[]), r"boxes is \[\]"),
        (replace_by_device, "cannot read .*faces.npy: not a regular file"),
        (cut, "contexts.npy has 5000 bytes instead of"),
        (lengthen, "faces.npy has .* bytes instead of"),
        (replace_array, "is not the array of uint8"),
        (swap_splits, r"is not the array of uint8 \[9, 96, 96, 3\]"),
    ],
)
def test_damaged_stores_are_refused_when_opened(store, damage, message):
    damage(store)
    with pytest.raises(DataError, match=message):
        PairStore.open(store)


@pytest.mark.parametrize("name", ["x\0", "x" * 300])
def test_names_that_the_system_does_not_accept_are_told(name):
    with pytest.raises(DataError, match="cannot read"):
        PairStore.open(name)


def test_what_a_store_says_of_itself_is_shown_as_it_is(store, monkeypatch):
    monkeypatch.setattr(console, "_width", 200)
    rename_split(store, "test[old]")
    change(store, versions={"[/x]": "[/y]", "pillow": "\x1b[31m1\n2"})
    shown = CliRunner().invoke(app, ["store", "info", str(store)])
    assert shown.exit_code == 0, shown.exception
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.stderr.splitlines()]
    assert ["versions.[/x]", "[/y]"] in rows
    assert ["versions.pillow", "\\x1b[31m1\\n2"] in rows
    assert ["source.test[old].images", "6"] in rows
    assert ["test[old]", "6"] in [row[:2] for row in rows]
    assert ["detector", "none"] in rows and ["skip_no_face", "no"] in rows
    assert ["classes", "Anger, Disgust, Fear, Happy, Neutral, Sad, Surprise"] in rows
    assert ["schema", "1"] in rows
    assert "\x1b" not in shown.stderr


def test_a_store_tells_whole_checksums_in_a_logs_80_columns(store, monkeypatch):
    monkeypatch.setattr(console, "_width", 80)
    shown = CliRunner().invoke(app, ["store", "info", str(store)])
    cells = [line.split("│")[2].strip() for line in shown.stderr.splitlines() if "│" in line]
    assert PairStore.open(store).info.source["test"].sha256 in "".join(cells)


def test_a_store_tells_whole_names_and_figures_in_few_columns(store, monkeypatch):
    monkeypatch.setattr(console, "_width", 40)
    rename_split(store, "test-of-the-second-fold")
    shown = CliRunner().invoke(app, ["store", "info", str(store)])
    assert "…" not in shown.stderr
    counted = "test-of-the-second-fold: images 6; stored 6; no face 0; failed 0"
    assert counted in " ".join(shown.stderr.split())


def test_an_unfinished_store_says_how_to_go_on(store):
    change(store, complete=False)
    with pytest.raises(DataError) as error:
        PairStore.open(store)
    assert "it goes on from there" in error.value.remedy


def edit_index(store, edit):
    path = store / "train" / "index.csv"
    path.write_bytes(edit(path.read_bytes()))


def put_crc32(raw, written):
    return re.sub(b",ok,[0-9a-f]{8},", b",ok," + written + b",", raw, count=1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda raw: raw[:-1], "line 10 has no end"),
        (lambda raw: b"x" + raw, "line 1 is not the header"),
        (lambda raw: raw + b"," * (5 << 20), "line 11 has no end"),
        (lambda raw: raw.replace(b"\n3,", b"\n4,"), "line 5 is row 4, not 3"),
        (lambda raw: raw.replace(b",ok,", b",fine,", 1), "line 2 .*fine"),
        (lambda raw: raw.replace(b"clip_1", b"clip\xff", 1), "line 3 "),
        (lambda raw: raw[: raw.rindex(b"\n", 0, -1) + 1], "has 8 rows, but the arrays 9"),
        (lambda raw: raw.replace(b"Anger,", b"Angst,"), "unknown class 'Angst'"),
        (lambda raw: raw.replace(b",5,", b",99999999999999,", 1), "impossible box"),
        (lambda raw: raw.replace(b",,ok,", b",NaN,ok,", 1), "line 2 .*a score of NaN"),
        (lambda raw: raw.replace(b",,ok,", b",1e999,ok,", 1), "line 2 .*a score of 1e999"),
        (lambda raw: put_crc32(raw, b"-0000001"), "line 2 .*a crc32 of -0000001"),
        (lambda raw: put_crc32(raw, b"0x1"), "line 2 .*a crc32 of 0x1"),
        (lambda raw: put_crc32(raw, b" 1"), "line 2 .*a crc32 of  1"),
        (lambda raw: put_crc32(raw, b"1" * 17), "line 2 .*a crc32 of 1{17}"),
    ],
)
def test_damaged_index_is_refused_by_line(store, edit, message):
    edit_index(store, edit)
    with pytest.raises(DataError, match=message):
        PairStore.open(store).split("train")


@pytest.mark.parametrize("name", ["faces.npy", "contexts.npy"])
def test_verify_finds_one_flipped_bit(store, name):
    assert PairStore.open(store).verify() == 15
    path = store / "train" / name
    with path.open("r+b") as handle:
        handle.seek(-1, 2)
        last = handle.read(1)[0]
        handle.seek(-1, 2)
        handle.write(bytes([last ^ 1]))
    with pytest.raises(DataError, match=r"row 8 of train \(images/train/Surprise/clip_2"):
        PairStore.open(store).verify()


def test_verify_finds_a_status_that_was_changed(store):
    edit_index(store, lambda raw: raw.replace(b",ok,", b",no_face,", 1))
    with pytest.raises(DataError, match="counts"):
        PairStore.open(store).verify()


@pytest.mark.parametrize("ask", [PairStore.split, PairStore.entries, PairStore.arrays])
def test_unknown_split(finished, ask):
    with pytest.raises(ConfigError, match="no split 'validation'") as error:
        list(ask(PairStore.open(finished), "validation"))
    assert "test, train" in error.value.remedy


@pytest.mark.parametrize(
    "row",
    [
        IndexRow(3, "a/b.png", "Sad", Status.OK, Box(-1, 2, 3, 4), 0.25, 0xFF, ""),
        IndexRow(None, 'x,"\n\r\t\\n\\', "Sad", Status.ERROR, reason='a "bad"\nthing, \udcff'),
        IndexRow(None, "\x85\u2028\x00\x7f\ud800", "Fear", Status.NO_FACE, Box(0, 0, 0, 0)),
        IndexRow(None, "", "", Status.ERROR),
    ],
)
def test_index_lines_are_one_utf8_line_and_come_back(row):
    line = row.to_line()
    assert line.endswith(b"\n")
    assert len(line.decode("utf-8").splitlines()) == 1
    assert IndexRow.from_line(line) == row


def test_verifying_notices_other_labels_and_boxes(store):
    PairStore.open(store).verify()
    edit_index(store, lambda raw: raw.replace(b",Anger,", b",Sad,"))
    with pytest.raises(DataError, match=r"train.index.csv is damaged: labels, names or boxes"):
        PairStore.open(store).verify()


def test_stores_of_older_versions_verify_without_checksums_of_their_labels(store):
    path = store / "store.json"
    values = json.loads(path.read_text())
    assert set(values.pop("index_sha256")) == {"train", "test"}
    path.write_text(json.dumps(values))
    assert PairStore.open(store).verify() == 15
    said = CliRunner().invoke(app, ["store", "verify", str(store)]).stderr
    assert "without checksums of its labels" in " ".join(said.split())
