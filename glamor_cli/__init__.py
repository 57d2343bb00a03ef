"""GLAMOR-Net, global-local attention for emotion recognition, as a toolkit.

The package imports nothing heavy: ``import glamor_cli`` costs milliseconds.
"""

__version__ = "0.1.0"
