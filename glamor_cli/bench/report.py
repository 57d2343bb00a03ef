"""A benchmark's results as files: CSV, a picture."""

from dataclasses import fields
from pathlib import Path

from glamor_cli.bench.options import BenchResult, Row
from glamor_cli.files.csv_line import csv_line
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.plain_names import plain_name

_LONGEST = 30
"""Letters of a file's name that a legend has room for."""

_MARKERS = "osD^vP*X"


def to_csv(result: BenchResult) -> str:
    """Give one line a row, with the columns of the JSON's rows."""
    header = csv_line(entry.name for entry in fields(Row))
    return header + "".join(csv_line(row.to_dict().values()) for row in result.rows)


@own_style()
def write_plot(result: BenchResult, path: Path) -> None:
    """Draw the median time of an image over the batch size, a panel for each target.

    Raises:
        ConfigError: The folder cannot be written to, or the ending is not a picture's.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    measured = [row for row in result.rows if row.p50_ms is not None]
    targets = list(dict.fromkeys(row.what for row in measured))
    drawn = (len({_name(row) for row in measured if row.what is what}) for what in targets)
    lines = max(drawn, default=0)
    figure = Figure(figsize=(4.2 * max(1, len(targets)), 3.8 + 0.17 * lines), layout="constrained")
    panels = figure.subplots(1, max(1, len(targets)), squeeze=False)[0]
    # In all panels the same: they are compared with one another.
    looks = {name: index for index, name in enumerate(dict.fromkeys(map(_name, measured)))}
    for panel, target in zip(panels, targets, strict=False):
        of_target = [row for row in measured if row.what is target]
        for name in dict.fromkeys(map(_name, of_target)):
            mine = sorted(
                (row for row in of_target if _name(row) == name), key=lambda row: row.batch
            )
            panel.plot(
                [row.batch for row in mine],
                [(row.p50_ms or 0) / row.batch for row in mine],
                color=f"C{looks[name]}",
                marker=_MARKERS[looks[name] % len(_MARKERS)],
                label=_label(mine[0]),
            )
        batches = sorted({row.batch for row in of_target})
        panel.set_xscale("log", base=2)
        panel.set_xticks(batches, [str(batch) for batch in batches])
        panel.set_yscale("log")  # the fastest and the slowest are a hundredfold apart
        # 0.02, not powers of ten.
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(NullLocator())
        panel.set(title=str(target), xlabel="batch", ylabel="median ms per image")
        panel.grid(which="both", alpha=0.3)
        # Below, because lines of many backends leave no corner free.
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=8, frameon=False)
    figure.suptitle(f"{result.environment.cpu}, {result.environment.cores} cores", size=10)
    save_figure(path, figure, 150)


def _label(row: Row) -> str:
    """Name a line in the legend, which leaves out what begins with a low line."""
    if row.export is None:
        return _name(row)
    return f"{row.backend} {plain_name(row.export, _LONGEST, middle=True)}"


def _name(row: Row) -> str:
    """Tell apart what is drawn in one panel."""
    return row.export or f"{row.backend} {row.precision} ({row.provider})"
