"""What the vision tests share: real detectors, real photographs, and a fresh interpreter."""

import subprocess
import sys

import pytest
import skimage.data

from glamor_cli.vision.detectors import open_detector


@pytest.fixture(scope="session")
def centerface():
    return open_detector(threads=1)


@pytest.fixture(scope="session")
def astronaut():
    """A photograph of one person, uint8 [512, 512, 3]."""
    return skimage.data.astronaut()


@pytest.fixture
def run_python():
    """Run code in an interpreter of its own and return what it prints."""

    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
