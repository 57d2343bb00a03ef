"""How to install what glamor can do without."""


def install_extra(name: str) -> str:
    """Say how an extra of ``pyproject.toml`` is installed, in a checkout and elsewhere."""
    # Without --inexact, uv takes away the extras that it is not told of.
    return f"Install the extra: uv sync --inexact --extra {name}, or pip install 'glamor[{name}]'"
