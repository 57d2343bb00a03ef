"""Clips that several tests look at."""

from pathlib import Path

import pytest
from video_clips import coming_back, crossing, grays, write_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "crossing.mp4", crossing())
    write_clip(folder / "coming-back.mp4", coming_back())
    for name, codec in (
        ("gray.mp4", "libx264"),
        ("gray.mkv", "libx264"),
        ("gray.mov", "libx264"),
        ("gray.ts", "libx264"),
        ("gray.avi", "mpeg4"),
        ("gray.mpg", "mpeg2video"),
        ("gray.flv", "libx264"),
        ("gray.webm", "libvpx-vp9"),
    ):
        # MPEG-2 knows only television's rates.
        write_clip(folder / name, grays(30), rate=25, codec=codec)
    return folder
