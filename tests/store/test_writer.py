"""Rows reach the disk, and the index speaks of them only then, whatever the moment of a kill."""

import math
import os
from dataclasses import replace

import numpy as np
import pytest

from glamor_cli.data.store import writer
from glamor_cli.data.store.format import CONTEXTS, FACES, targets_format
from glamor_cli.data.store.index import IndexRow, read_index
from glamor_cli.data.store.writer import SplitWriter
from glamor_cli.vision.status import Status

ARRAYS = (FACES, CONTEXTS, targets_format(7))
PIXELS = tuple(np.zeros(array.row_shape, array.dtype) for array in ARRAYS)
ROW = IndexRow(None, "a.png", "Sad", Status.OK)


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """A slow machine would commit earlier."""
    monkeypatch.setattr(writer, "_COMMIT_SECONDS", math.inf)


def test_a_kill_costs_at_most_127_rows(tmp_path):
    index = tmp_path / "train" / "index.csv"
    with SplitWriter(tmp_path / "train", ARRAYS) as split:
        for _ in range(128):
            split.add(ROW, PIXELS)
        assert len(list(read_index(index, unfinished=True))) == 128
        split.add(ROW, PIXELS)
        assert len(list(read_index(index, unfinished=True))) == 128


def test_a_slow_run_loses_no_more_than_some_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_COMMIT_SECONDS", 0)
    with SplitWriter(tmp_path / "train", ARRAYS) as split:
        split.add(ROW, PIXELS)
        index = tmp_path / "train" / "index.csv"
        assert len(list(read_index(index, unfinished=True))) == 1


def test_the_arrays_are_on_the_disk_before_the_index_speaks_of_them(tmp_path, monkeypatch):
    """Without that, a machine that loses its power may have lines whose rows are lost."""
    folder, order, flush = tmp_path / "train", [], os.fsync

    def record(descriptor):
        flush(descriptor)
        inode = os.fstat(descriptor).st_ino
        name = next(path.name for path in folder.iterdir() if path.stat().st_ino == inode)
        order.append((name, len(list(read_index(folder / "index.csv", unfinished=True)))))

    with SplitWriter(folder, ARRAYS) as split:
        split.add(ROW, PIXELS)
        monkeypatch.setattr(os, "fsync", record)
        split.commit()
    assert order == [(array.file, 0) for array in ARRAYS] + [("index.csv", 1)]


def test_a_checksum_that_is_known_is_not_computed_again(tmp_path):
    """A merge has compared each row with its own already, and would take longer."""
    known = 123
    with SplitWriter(tmp_path / "train", ARRAYS) as split:
        split.add(replace(ROW, row=9, crc32=known), PIXELS)
        split.finish()
    ((entry, _),) = read_index(tmp_path / "train" / "index.csv")
    assert (entry.row, entry.crc32) == (0, known)
