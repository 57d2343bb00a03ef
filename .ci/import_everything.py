"""Import every module of the installed wheel, in an environment with base dependencies only."""

import importlib
import pkgutil
import sys
from pathlib import Path

import glamor_cli

names = [info.name for info in pkgutil.walk_packages(glamor_cli.__path__, "glamor_cli.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
sys.stdout.write(f"{len(names)} modules import\n")

installed = Path(glamor_cli.__file__).parent
if "site-packages" not in installed.parts:
    sys.exit(f"the package was imported from {installed}, not from its wheel")
