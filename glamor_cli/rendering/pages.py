"""Self-contained HTML pages: one file, no network, light and dark, made to be printed.

Names of classes and files come from strangers. Every value is escaped, characters that could
reorder or hide text are replaced, and the pages' own policy forbids whatever is not in the file,
and all scripts but the one that reloads the page of a running training, named by its hash.
"""

import base64
import hashlib
import io
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.files.atomic import write_text
from glamor_cli.rendering.colours import BLUE, FAINT, GREEN, INK, PURPLE, VERMILION
from glamor_cli.rendering.own_style import own_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).parent / "templates"
_THEMED = {
    INK: "ink",
    FAINT: "faint",
    BLUE: "blue",
    VERMILION: "vermilion",
    GREEN: "green",
    PURPLE: "purple",
}
_JOINERS = "\u200c\u200d"  # Persian words and emoji need them
_JPEG_QUALITY = 80
_SMALLEST = 0.75
"""How far a chart shrinks on a narrow screen, of its size, before it scrolls: text of 10 pixels."""


def write_page(path: Path, template: str, values: dict[str, Any]) -> None:
    """Fill a template and write the page atomically.

    Args:
        path: The page.
        template: A file in ``templates/``.
        values: What it shows; strings are escaped unless `draw_svg` made them.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["source_hash"] = _source_hash
    write_text(path, environment.get_template(template).render(values))


def draw_svg(figure: "Figure", name: str, description: str) -> Any:
    """Turn a matplotlib figure into markup for a page, in the page's colours.

    Args:
        figure: Black becomes the page's ink, and the colours of `colours` those of the page's light
            or dark theme. It must show no stranger's text.
        name: Made part of every id, so that several charts go into one page.
        description: What somebody hears who does not see it.

    Returns:
        Markup that templates leave as it is.
    """
    from markupsafe import Markup
    from matplotlib import rc_context

    _use_ink(figure)
    stream = io.StringIO()
    with own_style(), rc_context({"svg.fonttype": "path", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _THEMED.items():
        svg = re.sub(rf"{colour}\b", f"var(--{variable})", svg, flags=re.IGNORECASE)
    head = Markup('<svg role="img" aria-label="{}" style="min-width: {:.0f}pt" ').format(
        description, _SMALLEST * figure.get_figwidth() * 72
    )
    return head + Markup(svg.removeprefix("<svg "))  # noqa: S704 - matplotlib's own markup


def embed_jpeg(picture: NDArray[np.uint8]) -> str:
    """Turn a picture, uint8 [H, W, 3] RGB, into a ``data:`` address."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def percent(value: float, digits: int = 1) -> str:
    """Write a share, from 0 to 1, as per cent."""
    return f"{value:.{digits}%}"


def _source_hash(script: str) -> str:
    """Name a script by its hash, as a content security policy takes it."""
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _printable(value: Any) -> Any:
    """Replace what cannot be shown, or would reorder the text around it."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(letter if _can_be_shown(letter) else "\ufffd" for letter in value)


def _can_be_shown(letter: str) -> bool:
    # Spaces of other scripts are not printable for Python; some systems name files with them.
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"


def _use_ink(figure: "Figure") -> None:
    """Paint what matplotlib draws black in the page's ink, on no ground of its own."""
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D
    from matplotlib.spines import Spine
    from matplotlib.text import Text

    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_tick_params(which="both", color=INK, labelcolor=INK)
    for artist in figure.findobj():
        if isinstance(artist, Text | Line2D) and to_hex(artist.get_color()) == "#000000":
            artist.set_color(INK)
    for spine in figure.findobj(Spine):
        spine.set_edgecolor(FAINT)
