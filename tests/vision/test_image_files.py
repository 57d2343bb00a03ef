"""Finding images in folders and by globs, as users have and write them."""

import io
from pathlib import Path

import pytest
from PIL import Image

from glamor_cli.errors import DataError
from glamor_cli.vision.image_files import list_images


@pytest.fixture
def folder(tmp_path):
    """A folder such as users have, with images, other files, and what systems leave behind."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    root = tmp_path / "photos"
    for name in (
        "b.png",
        "a.JPG",
        "sub/c.webp",
        "sub/deep/d.tiff",
        "z.jpeg",
        "notes.txt",
        "._a.jpg",
        ".cache/e.png",
        "sub/noext",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
    return root


def names(source, root):
    return [path.relative_to(root).as_posix() for path in list_images(source)]


def test_a_folder_is_searched_in_order_of_names(folder):
    assert names(folder, folder) == ["a.JPG", "b.png", "sub/c.webp", "sub/deep/d.tiff", "z.jpeg"]


def test_a_file_is_listed_whatever_its_name(folder):
    assert names(folder / "sub/noext", folder) == ["sub/noext"]


def test_globs(folder):
    assert names(folder / "*.png", folder) == ["b.png"]
    assert names(folder / "**/*", folder) == [
        "a.JPG",
        "b.png",
        "sub/c.webp",
        "sub/deep/d.tiff",
        "z.jpeg",
    ]
    assert names(folder / "[az].*", folder) == ["a.JPG", "z.jpeg"]


def test_globs_of_several_levels(folder):
    assert names(folder / "**", folder) == names(folder, folder)
    assert names(folder / "**/**/*.png", folder) == ["b.png"]
    assert names(folder / "s*/**/deep/**/*.tiff", folder) == ["sub/deep/d.tiff"]
    assert names(folder / "**/.cache/*.png", folder) == [".cache/e.png"]
    assert names(folder / "**/c.webp", folder) == ["sub/c.webp"]


def test_globs_in_the_folder_worked_in(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert list(map(str, list_images(Path("**/*.png")))) == ["b.png"]


def test_globs_list_each_folder_once(folder):
    """Two links to the folder they lie in are paths without end."""
    (folder / "sub/self").symlink_to(".")
    (folder / "sub/up").symlink_to("..")
    assert names(folder / "**/*", folder) == names(folder, folder)
    assert names(folder / "**/*.webp", folder) == ["sub/c.webp"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder):
    path = (folder / "b.png").rename(folder / "b[1].png")
    assert list(list_images(path)) == [path]


def test_loops_of_links_end_and_each_folder_counts_once(folder):
    (folder / "sub/up").symlink_to(folder)
    (folder / "sub/self").symlink_to(folder / "sub")
    (folder / "y_other").symlink_to(folder / "sub/deep")
    assert names(folder, folder) == ["a.JPG", "b.png", "sub/c.webp", "sub/deep/d.tiff", "z.jpeg"]


def test_a_photograph_whose_link_leads_nowhere_is_not_passed_over_in_silence(folder):
    (folder / "c.png").symlink_to(folder / "nowhere.png")
    (folder / "d.png").symlink_to("d.png")
    (folder / "notes").symlink_to(folder / "nowhere")
    assert names(folder, folder)[:4] == ["a.JPG", "b.png", "c.png", "d.png"]
    assert names(folder / "*.png", folder) == ["b.png", "c.png", "d.png"]
    with pytest.raises(DataError, match=r"what .*c\.png links to is missing"):
        list(list_images(folder / "c.png"))


def test_linked_files_and_folders_outside_are_found(folder, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "link").symlink_to(outside)
    (folder / "c.png").symlink_to(outside / "o.png")
    assert names(folder, folder)[:4] == ["a.JPG", "b.png", "c.png", "link/o.png"]


def test_listing_streams(folder):
    images = list_images(folder)
    first = next(images)
    (folder / "z.jpeg").rename(folder / "z2.jpeg")
    (folder / "sub/c.webp").unlink()
    assert first.name == "a.JPG"
    assert "c.webp" not in [path.name for path in images]


@pytest.mark.parametrize("name", ["nowhere", "nowhere.jpg", "empty", "*.xyz"])
def test_nothing_to_list_is_one_clear_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("no images")
    with pytest.raises(DataError) as caught:
        list(list_images(tmp_path / name))
    assert name in caught.value.what
