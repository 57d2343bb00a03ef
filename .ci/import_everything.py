"""Import every module of the installed package and predict with the weights its wheel carries."""

import importlib
import pkgutil
import sys
from pathlib import Path

import glamor_cli

names = [info.name for info in pkgutil.walk_packages(glamor_cli.__path__, "glamor_cli.")]
for name in names:
    if name != "glamor_cli.__main__":
        importlib.import_module(name)
print(f"{len(names)} modules import")

installed = Path(glamor_cli.__file__).parent
if "site-packages" not in installed.parts:
    sys.exit(f"the package was imported from {installed}, not from its wheel")
from glamor_cli.weights import DEFAULT_WEIGHTS, find_weights

print(f"the wheel carries {find_weights(DEFAULT_WEIGHTS, suffix='.onnx').name}")
