"""Measuring, side by side and interleaved."""
