"""The command on a full disk: files may grow to a bound, as if there were no more room."""

import os
import subprocess
import sys

_CODE = """
import resource, sys
from glamor_cli.__main__ import main
bound = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))
main()
"""


def run_with_little_room(largest_file: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``glamor`` where no file can grow beyond so many bytes."""
    return subprocess.run(
        [sys.executable, "-c", _CODE, str(largest_file), *map(str, arguments)],
        # Python keeps modules that it compiled even if they were cut short; others would load them.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
