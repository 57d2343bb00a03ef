"""How to install what glamor can do without."""


def install_extra(name: str) -> str:
    """Say how an extra of ``pyproject.toml`` is installed, in a checkout and elsewhere."""
    return f"Install the extra: uv sync --extra {name}, or pip install 'glamor[{name}]'"
