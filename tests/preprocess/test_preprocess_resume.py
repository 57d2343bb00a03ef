"""Runs that are killed, interrupted or run out of room end with an undisturbed run's bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from permissions import bound_by_permissions
from small_data_sets import tree, write_authors_data_set, write_image
from waiting import size, wait_until

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.format import HEADER_BYTES, StoreInfo
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.labels import EMOTIONS

RUN = """
import sys
from pathlib import Path
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
if __name__ == "__main__":
    source, out, workers = sys.argv[1:]
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    preprocess(PreprocessConfig(Path(source), Path(out), making, workers=int(workers)))
"""

FACE_BYTES = 96 * 96 * 3


@pytest.fixture(scope="module")
def many_images(tmp_path_factory):
    """210 images: enough for the index to be written in the middle of a split."""
    root = tmp_path_factory.mktemp("many") / "set"
    return write_authors_data_set(root, {"test": 10, "train": 60})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, many_images, run):
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    run(many_images, store)
    return store


@pytest.fixture
def start(tmp_path):
    """Start preprocessing as a process of its own, in a group of its own."""
    script = tmp_path / "run.py"
    script.write_text(RUN)
    started = []

    def begin(source, out, workers=1, command=None):
        command = command or [sys.executable, script, source, out, str(workers)]
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def test_killed_again_and_again(tmp_path, many_images, undisturbed, start):
    """SIGKILL before the first row, in the first split, in the second, and behind a commit."""
    out = tmp_path / "store"
    moments = [
        out.exists,
        lambda: size(out / "test" / "faces.npy") > 5 * FACE_BYTES,
        lambda: size(out / "train" / "contexts.npy") > 0,
        lambda: size(out / "train" / "faces.npy") > 90 * FACE_BYTES,
        lambda: size(out / "train" / "index.csv") > 1000,
        lambda: size(out / "train" / "faces.npy") > 150 * FACE_BYTES,
    ]
    for moment in moments:
        process = start(many_images, out)
        wait_until(moment, process)
        process.kill()
        # A fast machine may have finished.
        assert process.wait(240) in (-signal.SIGKILL, 0)
    process = start(many_images, out)
    assert process.wait(240) == 0
    assert tree(out) == tree(undisturbed)


def tear(store, index_bytes, faces_rows, contexts_extra, header):
    """Bring a finished store to a state that a kill can leave behind."""
    info = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps(info | {"complete": False, "counts": {}}))
    (store / ".store-x1y2z3_4.partial.json").write_text('{"half": ')
    with (store / "train" / "index.csv").open("r+b") as handle:
        handle.truncate(index_bytes)
    with (store / "train" / "faces.npy").open("r+b") as handle:
        handle.truncate(128 + int(faces_rows * FACE_BYTES))
        handle.write(header)
    with (store / "train" / "contexts.npy").open("r+b") as handle:
        handle.truncate(128 + 180 * 128 * 171 * 3)
        handle.seek(0, 2)
        handle.write(b"x" * contexts_extra)


@pytest.mark.parametrize(
    ("index_bytes", "faces_rows", "contexts_extra"),
    [
        (0, 0, 0),  # Files are there, and nothing in them.
        (5, 0, 0),  # In the middle of the index's header.
        (3000, 180, 0),  # In the middle of a line.
        (3000, 180, 777),  # The same with half a row behind the last one.
        (10_000_000, 100.5, 0),  # A file system that lost rows the index speaks of.
        (10_000_000, 180, 0),  # All rows there, only the end is missing.
    ],
)
def test_every_torn_state_is_mended(
    tmp_path, many_images, undisturbed, run, index_bytes, faces_rows, contexts_extra
):
    store = shutil.copytree(undisturbed, tmp_path / "store")
    whole = (store / "train" / "index.csv").stat().st_size
    tear(store, min(index_bytes, whole), faces_rows, contexts_extra, b"\x93NUMPY\x01\x00v\x00{")
    report = run(many_images, store)
    assert report.read == report.stored == 210
    assert report.resumed >= 30
    assert tree(store) == tree(undisturbed)


def test_failures_of_earlier_runs_are_reported_again(tmp_path, run):
    source = write_authors_data_set(tmp_path / "set", {"test": 1, "train": 1})
    (source / "crop" / "test" / "Happy" / "clip_0.txt").write_text("rotten")
    (source / "crop" / "train" / "Happy" / "clip_0.txt").write_text("rotten")
    first = run(source, tmp_path / "store")
    (tmp_path / "store" / "train" / "index.csv").unlink()
    info = json.loads((tmp_path / "store" / "store.json").read_text())
    (tmp_path / "store" / "store.json").write_text(json.dumps(info | {"complete": False}))
    again = run(source, tmp_path / "store")
    assert (again.failed, again.resumed) == (first.failed, 3)
    assert len(again.failed) == 2


def test_a_finished_store_is_not_touched(tmp_path, authors_data_set, run):
    first = run(authors_data_set, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = run(authors_data_set, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (again.read, again.stored, again.resumed) == (first.read, first.stored, 15)


@pytest.mark.parametrize(
    ("boxes", "making", "difference"),
    [
        ("whole", {}, "boxes: crop-files, now whole"),
        ("crop-files", {"official_jpeg": True}, "official_jpeg: no, now yes"),
        ("crop-files", {"skip_no_face": True}, "skip_no_face: no, now yes"),
    ],
)
def test_a_changed_setting_is_refused_by_name(
    tmp_path, authors_data_set, run, boxes, making, difference
):
    run(authors_data_set, tmp_path)
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=difference):
        run(authors_data_set, tmp_path, boxes, **making)
    assert tree(tmp_path) == before


def test_a_changed_source_is_refused_by_name(tmp_path, authors_data_set, run):
    source = shutil.copytree(authors_data_set, tmp_path / "set")
    run(source, tmp_path / "store")
    write_image(source / "images" / "train" / "Sad" / "new.png")
    with pytest.raises(ConfigError, match=r"source\.train\.images: 9, now 10; source.train.sha256"):
        run(source, tmp_path / "store")
    with pytest.raises(ConfigError, match=r"source\.train\.images: 9, now none"):
        run(source, tmp_path / "store", split="test")


@pytest.mark.parametrize("place", [0, 1, 3])
def test_other_pictures_of_the_same_names_and_sizes_are_another_source(tmp_path, run, place):
    """Uncompressed pictures are of one size each; of a few the pixels are looked at."""
    for name in ("anna", "ben"):
        for number in range(5):
            seed = 100 if name == "ben" and number == place else number
            write_image(tmp_path / name / "Sad" / f"{number}.bmp", seed)
    run(tmp_path / "anna", tmp_path / "store", "whole")
    with pytest.raises(ConfigError, match=r"source\.all\.sha256"):
        run(tmp_path / "ben", tmp_path / "store", "whole")


def test_folders_with_other_things_are_refused(tmp_path, authors_data_set, run):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match="holds other files"):
        run(authors_data_set, tmp_path)
    with pytest.raises(ConfigError, match=r"thesis\.txt is a file"):
        run(authors_data_set, tmp_path / "thesis.txt")
    with pytest.raises(ConfigError, match="cannot write"):
        run(authors_data_set, tmp_path / "thesis.txt" / "store")
    assert list(tree(tmp_path)) == ["thesis.txt"]


def test_a_folder_without_permission_is_refused(tmp_path, authors_data_set, run):
    tmp_path.chmod(0o500)
    with bound_by_permissions(), pytest.raises(ConfigError, match="cannot write"):
        run(authors_data_set, tmp_path / "store")


@pytest.mark.parametrize("gone", [".", "images/train/Happy", "crop"])
def test_a_vanished_data_set_is_no_thousand_failures(tmp_path, gone):
    """Unmounted while it is read, whole or in part; the mount point itself may stay, empty."""
    source = write_authors_data_set(tmp_path / "set", {"train": 4})

    def take_away(progress):
        if not (tmp_path / "away").exists():
            (source / gone).rename(tmp_path / "away")
            source.mkdir(exist_ok=True)

    config = PreprocessConfig(
        source,
        tmp_path / "store",
        PairMaking(boxes=BoxSource.CROP_FILES),
        workers=1,
        images_per_task=2,
    )
    with pytest.raises(DataError, match=r"has disappeared|cannot list"):
        preprocess(config, on_progress=take_away)
    if gone == ".":
        source.rmdir()
    (tmp_path / "away").rename(source / gone)
    report = preprocess(config)
    assert (report.read, report.stored, report.failed) == (12, 12, ())
    assert report.resumed > 0
    assert PairStore.open(tmp_path / "store").verify() == 12


@pytest.mark.parametrize("linked", [True, False])
def test_a_vanished_disk_is_no_thousand_failures(tmp_path, linked):
    """Its files are named by links or by a manifest, and the mount point stays, empty."""
    disk, folder = tmp_path / "disk", tmp_path / "set" / "Happy"
    folder.mkdir(parents=True)
    lines = ["path,label"]
    for number in range(6):
        image = disk / f"{number}.png"
        write_image(image, number)
        lines.append(f"{image},Happy")
        if linked:
            (folder / image.name).symlink_to(image)
    # One that was never there is a failure, and no reason to stop.
    lines.insert(1, f"{disk / 'none.png'},Happy")
    (tmp_path / "set.csv").write_text("\n".join(lines))
    (folder / "00.png").symlink_to(disk / "none.png")

    def take_away(progress):
        if progress.read == 4:
            disk.rename(tmp_path / "away")
            disk.mkdir()

    config = PreprocessConfig(
        tmp_path / ("set" if linked else "set.csv"),
        tmp_path / "store",
        PairMaking(boxes=BoxSource.WHOLE),
        workers=1,
        images_per_task=2,
    )
    with pytest.raises(DataError, match=r"3.png has disappeared"):
        preprocess(config, on_progress=take_away)
    disk.rmdir()
    (tmp_path / "away").rename(disk)
    report = preprocess(config)
    assert (report.read, report.stored, report.resumed) == (7, 6, 4)
    assert len(report.failed) == 1
    assert report.failed[0].reason.startswith("there is no file")


CHANGES = {
    "an image less": lambda source: next((source / "images/train/Happy").iterdir()).unlink(),
    "an image more": lambda source: write_image(source / "images" / "train" / "Happy" / "z.png"),
    "an image's content": lambda source: write_image(
        next((source / "images" / "test" / "Anger").iterdir()), height=20
    ),
    "a box": lambda source: (source / "crop/test/Anger/clip_0.txt").write_text("1,5,30,33\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_data_set_that_changes_meanwhile_makes_no_finished_store(tmp_path, change):
    source = write_authors_data_set(tmp_path / "set", {"test": 4, "train": 4})

    def change_once(progress):
        if progress.read == 12:
            CHANGES[change](source)

    making = PairMaking(boxes=BoxSource.CROP_FILES)
    config = PreprocessConfig(source, tmp_path / "store", making, workers=1, images_per_task=4)
    with pytest.raises(DataError, match="changed while it was being preprocessed"):
        preprocess(config, on_progress=change_once)
    with pytest.raises(DataError, match="is unfinished"):
        PairStore.open(tmp_path / "store")


def test_images_that_never_were_there_are_failures(tmp_path, run):
    """A manifest may speak of folders that are not there; that is no data set vanishing."""
    write_image(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("path,label\nno/b.png,Sad\na.png,Sad\nc.png,Sad\n")
    report = run(tmp_path, tmp_path / "store", "whole")
    assert report.stored == 1
    assert [failure.reason for failure in report.failed] == [
        "there is no file no/b.png", "there is no file c.png"
    ]  # fmt: skip


def test_a_changed_box_file_is_a_changed_source(tmp_path, authors_data_set, run):
    source = shutil.copytree(authors_data_set, tmp_path / "set")
    run(source, tmp_path / "store")
    run(source, tmp_path / "elsewhere", "whole")
    (source / "crop" / "train" / "Happy" / "clip_0.txt").write_text("1,5,30,33\n")
    with pytest.raises(
        ConfigError,
        match=r"other settings: source\.train\.sha256: \w+, now \w+\nUse the data set, settings",
    ):
        run(source, tmp_path / "store")
    # Where nothing of it is used, nothing has changed.
    run(source, tmp_path / "elsewhere", "whole")


@pytest.mark.parametrize(
    ("cells", "others"),
    [
        ("Sad,1,2,30,30", "Fear,1,2,30,30"),
        ("Sad,1,2,30,30", "Sad,1,2,30,31"),
        ("Sad,1,2,30,30,1,0,0,0,0,3,0", "Sad,1,2,30,30,1,0,0,0,0,4,0"),
    ],
)
def test_a_changed_row_of_a_manifest_is_a_changed_source(tmp_path, run, cells, others):
    """The store's pairs would have the labels and boxes of the older one."""
    manifest, store = tmp_path / "set" / "manifest.csv", tmp_path / "store"
    write_image(tmp_path / "set" / "a.png")
    columns = ["path", "label", "x1", "y1", "x2", "y2", *EMOTIONS][: cells.count(",") + 2]
    manifest.write_text(f"{','.join(columns)}\na.png,{cells}\n")
    run(manifest, store, "manifest")
    manifest.write_text(f"{','.join(columns)}\na.png,{others}\n")
    with pytest.raises(ConfigError, match=r"other settings: source\.all\.sha256"):
        run(manifest, store, "manifest")


def test_two_runs_at_once_do_not_mix(tmp_path, many_images, start, run):
    out = tmp_path / "store"
    process = start(many_images, out)
    wait_until(lambda: size(out / "test" / "faces.npy") > 0, process)
    # Held there, or it might be done before the other looks.
    process.send_signal(signal.SIGSTOP)
    assert process.poll() is None
    with pytest.raises(ConfigError, match="another process is writing"):
        run(many_images, out)


def test_a_run_whose_store_was_removed_does_not_write_into_the_next_one(
    tmp_path, many_images, start, run
):
    """It would say of the other's pairs how its own were made."""
    out = tmp_path / "store"
    first = start(many_images, out)
    wait_until(lambda: size(out / "test" / "faces.npy") > 0, first)
    first.send_signal(signal.SIGSTOP)
    assert first.poll() is None
    shutil.rmtree(out)
    run(many_images, out, "whole")
    before = tree(out)
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate(timeout=120)
    assert b"moved, removed or replaced" in said
    assert tree(out) == before


def test_a_full_disk_stops_the_run_and_nothing_is_lost(tmp_path, many_images, undisturbed, run):
    resource = pytest.importorskip("resource")
    out = tmp_path / "store"
    script = tmp_path / "full.py"
    script.write_text(
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, {resource.RLIM_INFINITY}))\n" + RUN
    )
    command = [sys.executable, str(script), str(many_images), str(out), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "glamor_cli.errors.ConfigError: cannot write" in done.stderr
    assert "what is stored already is kept" in done.stderr
    with pytest.raises(DataError, match="is unfinished"):
        PairStore.open(out)
    row = max(array.row_bytes for array in StoreInfo.read(undisturbed).arrays())
    whole_rows = (4_000_000 - HEADER_BYTES) // row
    # Half a row would take room that the index may need.
    assert size(out / "train" / "contexts.npy") == HEADER_BYTES + whole_rows * row
    assert run(many_images, out).resumed == 30 + whole_rows
    assert tree(out) == tree(undisturbed)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_workers_end_with_a_killed_parent(tmp_path, many_images, undisturbed, start, run):
    out = tmp_path / "store"
    process = start(many_images, out, workers=2)
    wait_until(lambda: size(out / "test" / "faces.npy") > 0, process)
    process.kill()
    wait_until(lambda: not living(process.pid))
    assert run(many_images, out).stored == 210
    assert tree(out) == tree(undisturbed)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("count", ["1", "2"])
def test_a_killed_worker_changes_nothing(tmp_path, many_images, undisturbed, start, count):
    """Of the command, which reads in other processes even if there is only one worker."""
    out = tmp_path / "store"
    words = ["preprocess", many_images, out, "--boxes", "crop-files", "--workers", count]
    process = start(many_images, out, command=[sys.executable, "-m", "glamor_cli", *words])
    wait_until(lambda: size(out / "train" / "faces.npy") > 20 * FACE_BYTES, process)
    threads = Path(f"/proc/{process.pid}/task").iterdir()
    workers = [
        int(child)
        for thread in threads
        for child in (thread / "children").read_text().split()
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(240) == 0, process.stderr.read().decode()
    assert tree(out) == tree(undisturbed)


def living(group):
    """Processes of a group that are not yet dead."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state not in "ZX":
            found.append(path)
    return found
