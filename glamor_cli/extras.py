"""How to install what glamor can do without."""


def install_extra(name: str) -> str:
    """Say how an extra of ``pyproject.toml`` is installed, with uv and with pip.

    Both take it from a checkout: no registry has a package of ours.
    """
    # Without --inexact, uv takes away the extras that it is not told of.
    return (
        f"Install the extra in glamor's checkout: uv sync --inexact --extra {name}, "
        f"or pip install '.[{name}]'"
    )
