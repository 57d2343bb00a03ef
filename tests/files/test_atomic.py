"""Files are whole or as they were, and what cannot be replaced is written into."""

import csv
import errno
import io
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from glamor_cli.errors import ConfigError
from glamor_cli.files.atomic import atomic_path, remove_leftovers, write_json, write_text
from glamor_cli.files.csv_line import csv_line


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "deeper" / "a.txt", "text")
    assert (tmp_path / "new" / "deeper" / "a.txt").read_text() == "text"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_stays_open(tmp_path: Path) -> None:
    """A camera's picture is written for days."""
    write_text(tmp_path / "a.txt", "first")
    before = len(list(Path("/proc/self/fd").iterdir()))
    write_text(tmp_path / "a.txt", "second")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_json_of_figures_that_are_not_finite_is_not_written(tmp_path: Path) -> None:
    """Strict parsers refuse a whole file for one NaN."""
    path = tmp_path / "figures.json"
    write_json(path, {"b": "é", "a": 0.5})
    before = path.read_text()
    assert before == '{\n  "b": "\\u00e9",\n  "a": 0.5\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert path.read_text() == before


def test_line_ends_stay_as_they_are(tmp_path: Path) -> None:
    """Windows would end every line of JSON, and of CSV twice, with a carriage return."""
    write_text(tmp_path / "a.txt", "of JSON\nof CSV\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"of JSON\nof CSV\r\n"


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        write_text(tmp_path, "text")


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "é" * 120 + ".json", "n." + "s" * 250])
def test_the_longest_name_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_flushed_is_open_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to flush what is open for reading alone."""
    flush = os.fsync

    def flush_as_windows_does(descriptor: int) -> None:
        os.write(descriptor, b"")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", flush_as_windows_does)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"


@pytest.mark.skipif(os.name != "posix", reason="has names of UTF-8 everywhere")
def test_a_locale_that_lacks_a_names_letters_keeps_it_from_nothing(tmp_path: Path) -> None:
    path = tmp_path / "größe.żółty"
    code = (
        "from glamor_cli.files.atomic import *; import sys; write_text(Path(sys.argv[1]), 'text')"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, path], env=os.environ | ascii_only, check=True)
    assert path.read_text() == "text"


def test_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "target.txt", tmp_path / "link.txt"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_link_that_leads_to_itself_is_told(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(link)
    with pytest.raises(ConfigError, match=r"cannot write .*link\.txt: Too many levels"):
        write_text(link, "new")
    assert link.is_symlink()


def test_a_link_to_nothing_gets_its_file(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "new.txt")
    write_text(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "new.txt").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_a_pipe_is_written_into_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        write_text(pipe, "through the pipe")
        assert reader.communicate(timeout=20)[0] == "through the pipe"
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_more_room_is_told_in_two_lines() -> None:
    with pytest.raises(ConfigError, match="cannot write /dev/full: No space left on device"):
        write_text(Path("/dev/full"), "text")
    assert Path("/dev/full").is_char_device()


def test_standard_output_can_be_named() -> None:
    code = (
        "from pathlib import Path; from glamor_cli.files.atomic import write_text\n"
        "write_text(Path('/dev/stdout'), 'on standard output')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "on standard output"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.parametrize("mode", ["a", "r+"])
def test_a_file_that_is_open_already_goes_on(tmp_path: Path, mode: str) -> None:
    """As of ``--json /dev/stdout >> log``."""
    log, link = tmp_path / "log.txt", tmp_path / "link"
    log.write_text("older")
    inode = log.stat().st_ino
    with log.open(mode) as stream:
        stream.seek(0, os.SEEK_END)
        link.symlink_to(f"/dev/fd/{stream.fileno()}")
        for name in (f"/dev/fd/{stream.fileno()}", f"/proc/self/fd/{stream.fileno()}", str(link)):
            write_text(Path(name), ", new")
        stream.write(", after")
    assert log.read_text() == "older, new, new, new, after"
    assert log.stat().st_ino == inode
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "log.txt"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_file_that_another_process_has_open_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("older")
    with (
        log.open("a") as stream,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=stream, text=True) as other,
    ):
        write_text(Path(f"/proc/{other.pid}/fd/1"), ", new")
        other.communicate(", after", timeout=20)
    assert log.read_text() == "older, new, after"


def test_names_that_are_no_unicode_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    write_text(path, os.fsdecode(b"a\xffb.jpg"))
    assert path.read_text() == "a\\udcffb.jpg"


def test_a_carriage_return_in_a_cell_begins_no_line() -> None:
    line = csv_line(("a\rb", 'say "c"', 1.5, None))
    assert list(csv.reader(io.StringIO(line, newline=""))) == [["a\rb", 'say "c"', "1.5", ""]]
    assert csv_line(("plain", 1)) == "plain,1\n"


def test_a_finished_file_is_not_lost_to_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "a.txt", "finished")
    assert (tmp_path / "a.txt").read_text() == "finished"


def test_what_kills_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from glamor_cli.files.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])): os._exit(0)"
    )
    kept = {".hidden.json", "a.partial.json", "b.csv"}
    for name in kept:
        (tmp_path / name).touch()
    for name in ("a.json", "a-3.json", "a.csv", ".a-3.json"):
        subprocess.run([sys.executable, "-c", code, tmp_path / name], check=True)

    def left() -> set[str]:
        return {entry.name for entry in tmp_path.iterdir()} - kept

    def beginnings() -> list[str]:
        return sorted(name.rsplit("-", 1)[0] + name[name.rindex(".") :] for name in left())

    assert beginnings() == ["..a-3.json", ".a-3.json", ".a.csv", ".a.json"]
    remove_leftovers(tmp_path, "a.json")
    assert beginnings() == ["..a-3.json", ".a-3.json", ".a.csv"]
    remove_leftovers(tmp_path, ".a-*.json")
    assert beginnings() == [".a-3.json", ".a.csv"]
    assert kept <= {entry.name for entry in tmp_path.iterdir()}


@pytest.mark.skipif(os.name != "posix", reason="has other permissions")
@pytest.mark.parametrize("mode", [0o600, 0o664])
def test_a_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "rows.csv"
    path.touch()
    path.chmod(mode)
    write_text(path, "rows")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.name != "posix", reason="has other permissions")
@pytest.mark.parametrize(("mask", "mode"), [(0o027, 0o640), (0, 0o666)])
def test_a_new_file_has_the_permissions_that_the_umask_leaves(
    tmp_path: Path, mask: int, mode: int
) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "rows.csv", "rows")
    finally:
        left = os.umask(before)
    assert stat.S_IMODE((tmp_path / "rows.csv").stat().st_mode) == mode
    assert left == mask, "what is written later has the same"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_way_of_having_no_more_room_is_told(tmp_path: Path, number: int) -> None:
    """A disk, a quota and a limit for each file."""
    with (
        pytest.raises(ConfigError, match=r"cannot write .*a\.txt: "),
        atomic_path(tmp_path / "a.txt"),
    ):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_lack_of_room_for_a_temporary_file_names_its_folder() -> None:
    with pytest.raises(ConfigError) as told, atomic_path(Path(os.devnull)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert f"cannot write {tempfile.gettempdir()}" in told.value.what
    assert "set TMPDIR" in told.value.remedy


def test_file_systems_without_permissions_are_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares and USB disks let nobody change those of a file, not even of one's own."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    write_text(tmp_path / "rows.csv", "an hour's work")
    assert (tmp_path / "rows.csv").read_text() == "an hour's work"


def test_other_failures_within_are_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        raise FileNotFoundError(errno.ENOENT, "another file")


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EPERM, errno.EACCES])
def test_a_file_that_cannot_be_replaced_is_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As one that is mounted into a container, or another's in a folder like /tmp."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", refuse)
    (tmp_path / "rows.csv").write_text("older, and longer than what is new")
    write_text(tmp_path / "rows.csv", "an hour's work")
    assert (tmp_path / "rows.csv").read_text() == "an hour's work"
    with pytest.raises(ConfigError, match="cannot write"):
        write_text(tmp_path / "new.csv", "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]
