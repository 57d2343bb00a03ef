"""Listing folders: the order, the bound on memory, and names that others stumble over."""

import pytest

from glamor_cli.files import listing
from glamor_cli.files.listing import list_names, sort_bounded

NAMES = [
    "plain.png",
    'comma, "quoted".png',
    "two\nlines.png",
    "smile\u263a.png",
    "\U0001f600.png",
    b"byte\xff.png".decode("utf-8", "surrogateescape"),
    "Z.png",
    "a.png",
]


@pytest.mark.parametrize("run_names", [100, 3, 1])
def test_names_come_sorted_however_many_fit_into_memory(tmp_path, monkeypatch, run_names):
    monkeypatch.setattr(listing, "RUN_NAMES", run_names)
    for name in NAMES:
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nothing")
    files = [(name, False) for name in (*NAMES, "loop", "broken")]
    assert list(list_names(tmp_path)) == sorted([*files, ("folder", True), ("link", True)])


def test_runs_longer_than_what_is_read_at_once(monkeypatch):
    monkeypatch.setattr(listing, "RUN_NAMES", 5000)
    names = [(f"{number * 7919 % 20011:05d}" * 9, number % 3 == 0) for number in range(20011)]
    assert list(sort_bounded(names)) == sorted(names)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        list(list_names(tmp_path / "nothing"))
