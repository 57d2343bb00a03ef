"""The authors' box files, read and written."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from glamor_cli.data.data_sets.crop_files import box_file_name, read_box, write_box
from glamor_cli.errors import DataError
from glamor_cli.vision.pairs import Box


@pytest.mark.parametrize(
    ("image", "box_file"),
    [("a.png", "a.txt"), ("0001_12.34.jpg", "0001_12.txt"), ("noext", "noext.txt")],
)
def test_first_dot_rule(image, box_file):
    assert box_file_name(image) == box_file


@pytest.mark.parametrize("text", ["1,2,30,40", "1,2,30,40\n", " 1, 2 ,30,40\r\n"])
def test_boxes_are_read(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert read_box(tmp_path / "a.txt") == Box(1, 2, 30, 40)


@pytest.mark.parametrize(
    "raw",
    [b"", b"1,2,3", b"1,2,3,4,5", b"1,2,3,x", b"1.5,2,3,4", b"\xff\xfe1", b"1,2,3,99999999999",
     b"1,2,3,4\n5,6,7,8", b"1" * 10_000],
)  # fmt: skip
def test_other_contents_are_no_box(tmp_path, raw):
    (tmp_path / "a.txt").write_bytes(raw)
    with pytest.raises(DataError, match="does not hold a box"):
        read_box(tmp_path / "a.txt")


def test_missing_box_file(tmp_path):
    with pytest.raises(DataError, match="cannot read the box file"):
        read_box(tmp_path / "a.txt")


def test_another_box_is_never_overwritten(tmp_path):
    path = tmp_path / "crop" / "a.txt"
    write_box(path, Box(-3, 2, 3, 4))
    write_box(path, Box(-3, 2, 3, 4))
    assert path.read_text() == "-3,2,3,4\n"
    with pytest.raises(DataError, match="holds another box"):
        write_box(path, Box(0, 0, 0, 0))
    assert path.read_text() == "-3,2,3,4\n"


def test_a_link_is_never_followed(tmp_path):
    (tmp_path / "notes").write_text("kept")
    for name in ("a.partial", ".a.partial"):
        (tmp_path / name).symlink_to(tmp_path / "notes")
    write_box(tmp_path / "a.txt", Box(1, 2, 3, 4))
    assert (tmp_path / "notes").read_text() == "kept"
    assert read_box(tmp_path / "a.txt") == Box(1, 2, 3, 4)


def test_several_can_write_the_same_boxes_at_once(tmp_path):
    def write(_: int) -> None:
        for number in range(300):
            write_box(tmp_path / f"{number}.txt", Box(1, 2, 3, number))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(4)))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{number}.txt" for number in range(300)
    )


@pytest.mark.skipif(os.name != "posix", reason="looks at POSIX permissions")
def test_a_box_file_has_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write_box(tmp_path / "a.txt", Box(1, 2, 3, 4))
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
