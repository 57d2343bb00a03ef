"""Which files a command reads where a folder or a name is given: no result may replace them."""

from collections.abc import Iterator
from pathlib import Path


def store_files(store: Path) -> Iterator[Path]:
    """List the files of a pair store that is there, begun, or about to be made."""
    from glamor_cli.data.store_format import INDEX_FILE, STORE_FILE

    yield store / STORE_FILE
    for index in store.glob(f"*/{INDEX_FILE}"):
        yield from index.parent.glob("*")


def weights_files(*weights: str | Path) -> Iterator[Path]:
    """List the files of weights, with what lies beside an engine; a name of weights is none."""
    for path in map(Path, weights):
        yield path
        if path.suffix == ".engine":
            from glamor_cli.runtimes.sidecar import sidecar_path

            yield sidecar_path(path)


def run_files(run: Path) -> Iterator[Path]:
    """List the files of an ablation's trainings; its table, which is not read, is beside them."""
    return run.glob("*/*")
