"""The trained network on every engine, behind one call (`base.open_runtime`)."""
