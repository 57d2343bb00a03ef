"""What a path leads to: absence, and what nobody may look at, are told apart on every Python."""

import pytest
from permissions import bound_by_permissions

from glamor_cli.files.kinds import exists, holds_visible, is_file, is_folder

KINDS = (is_file, is_folder, exists)


def test_files_folders_and_links_to_them(tmp_path):
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "to-file").symlink_to(file)
    (tmp_path / "to-folder").symlink_to(tmp_path)
    for path in (file, tmp_path / "to-file"):
        assert [kind(path) for kind in KINDS] == [True, False, True]
    for path in (tmp_path, tmp_path / "to-folder"):
        assert [kind(path) for kind in KINDS] == [False, True, True]


@pytest.mark.parametrize(
    "name", ["missing", "file/below", "to-itself", "to-nothing", "a\0b", "*.jpg"]
)
def test_what_leads_nowhere(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "to-itself").symlink_to(tmp_path / "to-itself")
    (tmp_path / "to-nothing").symlink_to(tmp_path / "nothing")
    assert not any(kind(tmp_path / name) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_may_look_at_is_not_missing(tmp_path, kind):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0)
    try:
        with bound_by_permissions(), pytest.raises(PermissionError):
            kind(folder / "file")
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_too_long_is_not_missing(tmp_path, kind):
    with pytest.raises(OSError, match="too long"):
        kind(tmp_path / ("x" * 5000))


def test_leftovers_of_a_killed_run_leave_a_folder_free(tmp_path):
    assert not holds_visible(tmp_path)
    (tmp_path / ".store-x1y2z3.partial.json").touch()
    assert not holds_visible(tmp_path)
    (tmp_path / "picture.jpg").touch()
    assert holds_visible(tmp_path)
