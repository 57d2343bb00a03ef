"""``glamor doctor``: what this machine can do, and what to install for the rest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from glamor_cli.cli.json_output import json_option, write_json
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console
from glamor_cli.errors import BackendUnavailable

if TYPE_CHECKING:
    from glamor_cli.doctor.findings import Examination

_MARKS = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[bold red]broken[/]"}
_LEAST_WIDTH = 60
"""Cells of a terminal below which names, marks and findings have no columns."""


def doctor(
    json_file: Annotated[Path | None, json_option("what was found")] = None,
) -> None:
    """Show what works here, what is missing, and what to do about it.

    Exits with 7 if the base installation is broken.
    """
    require_writable(json_file)
    with console.status("trying devices, engines, detectors and weights"):
        # Late, because it brings the engines.
        from glamor_cli.doctor.examine import examine

        examination = examine()
    _print(examination)
    if json_file is not None:
        write_json(json_file, examination.to_dict(), "all that was found")
    if not examination.works:
        raise typer.Exit(BackendUnavailable.exit_code)


def _print(examination: "Examination") -> None:
    is_narrow = console.width < _LEAST_WIDTH
    table = Table(box=None, show_header=False, pad_edge=False)
    if not is_narrow:
        # The names must stay whole: they are what one searches for.
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    group = ""
    for row in examination.rows:
        if row.group != group:
            if group:
                table.add_row()
            group = row.group
            table.add_row(f"[bold]{group}[/]")
        found = escape(row.detail)
        if row.remedy:
            found += f"\n[dim]-> {escape(row.remedy)}[/]"
        cells = (f"  {row.name}", _MARKS[row.status], found)
        table.add_row(*([": ".join(cells)] if is_narrow else cells))
    console.print(table)
    versions = " · ".join(f"{name} {known}" for name, known in examination.versions.items())
    console.print(f"\n[bold]versions[/]\n[dim]{escape(versions)}[/]\n")
    verdict = (
        "[green]The base installation works.[/]"
        if examination.works
        else "[bold red]The base installation does not work:[/] see the rows marked broken."
    )
    console.print(verdict)
