"""Manifests: what they may hold, and which line is named when they are wrong."""

import pytest

from glamor_cli.data.data_sets.data_set import Layout
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.pairs import NO_FACE, Box

CLASSES = "Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise"


@pytest.fixture
def manifest(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return open_data_set(path)

    return write


def test_splits_boxes_and_soft_labels(manifest, tmp_path):
    data_set = manifest(
        f"split,label,path,x1,y1,x2,y2,note,{CLASSES}\n"
        "train,Happiness,a.png,1,2,30,40,,0,0,0,6,2,0,0\n"
        "test,sad,sub/b.png,,,,,x,,,,,,,\n"
        "\n"
        'train,Fear,"c, d.png",0,0,0,0,,,,5,,,,\n'
    )
    assert data_set.layout is Layout.MANIFEST
    assert data_set.splits == ("test", "train")
    assert data_set.find_boxed_splits() == ("train",)
    assert data_set.has_targets
    happy, fear = data_set.records("train")
    assert (happy.label, happy.name, happy.box) == ("Happy", "a.png", Box(1, 2, 30, 40))
    assert happy.targets == (0, 0, 0, 0.75, 0.25, 0, 0)
    assert happy.source == tmp_path / "a.png"
    assert (fear.name, fear.box, fear.targets) == ("c, d.png", NO_FACE, (0, 0, 1, 0, 0, 0, 0))
    (sad,) = data_set.records("test")
    assert (sad.name, sad.box, sad.targets) == ("sub/b.png", None, (0, 0, 0, 0, 0, 1, 0))


def test_what_r_writes_for_empty_cells_is_empty(manifest):
    header, nothing = f"path,label,x1,y1,x2,y2,{CLASSES}", ",".join(["NA"] * 7)
    data_set = manifest(f"{header}\na.png,Sad,NA,NA,NA,NA,{nothing}\n")
    assert not data_set.find_boxed_splits()
    (record,) = data_set.records("all")
    assert (record.box, record.targets) == (None, (0, 0, 0, 0, 0, 1, 0))
    with pytest.raises(DataError, match="'NA' instead of a number"):
        manifest("path,label,x1,y1,x2,y2\na.png,Sad,1,2,NA,4\n")


def test_two_columns_are_enough(manifest):
    data_set = manifest("\ufeffPath, Label \nx.png,NEUTRAL\n")
    assert data_set.splits == ("all",)
    assert not data_set.find_boxed_splits()
    assert not data_set.has_targets
    (record,) = data_set.records("all")
    assert (record.name, record.label, record.targets) == ("x.png", "Neutral", None)


def test_only_the_split_that_is_asked_for_is_taken(manifest, tmp_path):
    manifest("path,label,split,x1,y1,x2,y2\na.png,Sad,x,,,,\nb.png,Fear,y,1,2,30,40\n")
    data_set = open_data_set(tmp_path / "list.csv", split="x")
    assert data_set.splits == ("x",)
    assert not data_set.find_boxed_splits()
    assert [record.name for record in data_set.all_records()] == ["a.png"]
    with pytest.raises(ConfigError, match="has no split 'z'") as refused:
        open_data_set(tmp_path / "list.csv", split="z")
    assert refused.value.remedy == "Choose one that it has: x, y."
    # A manifest without splits is called so.
    manifest("path,label\na.png,Sad\n")
    assert open_data_set(tmp_path / "list.csv", split="z").splits == ("z",)


def test_a_folder_with_a_manifest_is_read_by_it(tmp_path):
    (tmp_path / "Happy").mkdir()
    (tmp_path / "manifest.csv").write_text("path,label\na.png,Sad\n")
    assert open_data_set(tmp_path).layout is Layout.MANIFEST


def test_names_may_hold_newlines_and_bytes_that_are_not_utf8(manifest, tmp_path):
    data_set = manifest(b'path,label\n"two\nlines.png",Sad\n\xff\xfe.png,Fear\n')
    names = [record.source for record in data_set.records("all")]
    assert names == [tmp_path / "two\nlines.png", tmp_path / "\udcff\udcfe.png"]


@pytest.mark.parametrize("box", ["0,0,1,1", "0.0,0.0,1.0,1.0", "0,0,0,0"])
def test_a_box_of_one_pixel_or_none_is_in_pixels(manifest, box):
    (record,) = manifest(f"path,label,x1,y1,x2,y2\na.png,Sad,{box}\n").records("all")
    assert record.box == Box(*(int(float(cell)) for cell in box.split(",")))


def test_boxes_between_pixels_are_rounded(manifest):
    (record,) = manifest("path,label,x1,y1,x2,y2\na.png,Sad,10.7,1,30.9,40\n").records("all")
    assert record.box == Box(11, 1, 31, 40)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("path,label\n", "names no images"),
        ("file,label\na.png,Sad\n", "line 1, is a header without the column 'path'"),
        ("path,label,label\na.png,Sad,Sad\n", "two columns for 'label'"),
        ("path,label,angry,Anger\na.png,Sad,1,1\n", "two columns for 'Anger'"),
        ("path,label,x1,y1\na.png,Sad,1,1\n", "some of x1,y1,x2,y2 but not all"),
        ("path,label,Happy\na.png,Sad,1\n", "some of the classes but not all"),
        ("path,label\na.png,Sad\nb.png,Contempt\n", "line 3, has the unknown label 'Contempt'"),
        ("path,label\na.png\n", "line 2, has 1 cells, but the header has 2"),
        ("path,label\n,Sad\n", "line 2, has no valid path"),
        ("path,label\na\0.png,Sad\n", "line 2, has no valid path"),
        (f"path,label\n{'a' * 5000}.png,Sad\n", "line 2, has no valid path"),
        ("path,label,split\na.png,Sad,../up\n", "line 2, has the split '../up', which"),
        ("path,label,split\na.png,Sad,x\nb.png,Sad,\n", "line 3, has the split '', which is not"),
        ("path,label,x1,y1,x2,y2\na.png,Sad,1,,3,4\n", "line 2, has '' instead of a number"),
        ("path,label,x1,y1,x2,y2\na.png,Sad,1,nan,3,4\n", "'nan' instead of a number"),
        ("path,label,x1,y1,x2,y2\na.png,Sad,1,2,3,1e300\n", "impossible box"),
        ("path,label,x1,y1,x2,y2\na.png,Sad,0.4,0.3,0.49,0.5\n", "not in pixels"),
        ("path,label,x1,y1,x2,y2\na.png,Sad,-0.4,-0.3,1,1\n", "not in pixels"),
        (f"path,label,{CLASSES}\na.png,Sad,2,-1,0,0,0,0,0\n", "negative or sum to zero"),
        (f"path,label,{CLASSES}\na.png,Sad,0,0,0,0,0,0,0\n", "negative or sum to zero"),
        (f"path,label,{CLASSES}\na.png,Sad,x,0,0,0,0,0,0\n", "'x' instead of a number"),
        ('path,label\n"a.png,Sad\n', "is not CSV"),
        ("path,label\n" + "a" * 200_000 + ",Sad\n", "is not CSV"),
        ("path,label\n" + "," * 1_100_000, "a row of more than 1000000 characters"),
        ("path,label\n" + '"a\n",' * 300_000, "a row of more than 1000000 characters"),
    ],
)
def test_wrong_manifests_are_refused_before_any_work(manifest, text, message):
    with pytest.raises(DataError, match=message):
        manifest(text)


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("file,label\n", "the column 'path', but with 'file', 'label'", "Columns: path,label"),
        ("path;label\n", "but with 'path;label'", "Separate the cells with commas"),
        ("path\tlabel\n", r"but with 'path\\tlabel'", "Separate the cells with commas"),
        ("path,label\n".encode("utf-16"), "it is written in UTF-16", "Save it as UTF-8"),
        (b"\xfe\xff" + "path,label\n".encode("utf-16-be"), "in UTF-16", "Save it as UTF-8"),
        ("path,label\n".encode("utf-16-le"), "in UTF-16", "Save it as UTF-8"),
        ("a" * 9000 + ",label\n", "'a{199}\\.\\.\\.", "Columns: path,label"),
    ],
)
def test_a_header_of_another_kind_is_shown_with_what_to_do(manifest, text, message, remedy):
    """Spreadsheets write semicolons, tabs and UTF-16."""
    with pytest.raises(DataError, match=message) as raised:
        manifest(text)
    assert raised.value.remedy.startswith(remedy)


def test_a_million_splits_are_refused(manifest):
    lines = "".join(f"a.png,Sad,s{number}\n" for number in range(1001))
    with pytest.raises(DataError, match="more than 1000 splits"):
        manifest("path,label,split\n" + lines)


def test_a_resumed_run_leaves_out_what_is_done(manifest):
    data_set = manifest(
        "path,label,split\na.png,Sad,x\nb.png,Sad,y\nc.png,Sad,x\nd.png,Sad,y\ne.png,Sad,y\n"
    )
    names = [record.name for record in data_set.records("y", start=1)]
    assert names == ["d.png", "e.png"]
    assert [record.name for record in data_set.all_records()] == [f"{c}.png" for c in "abcde"]
