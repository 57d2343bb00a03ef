"""GLAMOR-Net, global-local attention for emotion recognition, as a toolkit.

The package imports nothing heavy: ``import glamor_cli`` costs milliseconds.
"""

import os

# ONNX Runtime reports to its makers from its import on, unless this was set before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
