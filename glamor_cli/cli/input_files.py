"""Which files a command reads where a folder or a name is given: no result may replace them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.weights.registry import INDEX_FILE, find_weights, registered


def store_files(store: Path) -> Iterator[Path]:
    """List the files of a pair store that is there, begun, or about to be made."""
    from glamor_cli.data.store.format import INDEX_FILE, STORE_FILE

    yield store / STORE_FILE
    for index in store.glob(f"*/{INDEX_FILE}"):
        yield from index.parent.glob("*")


def weights_files(*weights: str | Path) -> Iterator[Path]:
    """List the files of weights, with what lies beside an engine, and what a name stands for.

    A path in a registered name stands for that name's files, too: it may lead to one of them.
    """
    known = registered()
    for path in map(Path, weights):
        for name in {str(path), path.stem} & known.keys():
            for suffix in (".safetensors", ".onnx"):
                # One that is missing is for the work to report.
                with suppress(ConfigError):
                    file = find_weights(name, suffix=suffix)
                    yield from (file, file.with_name(INDEX_FILE))
        if str(path) in known:
            continue
        yield path
        if path.suffix == ".engine":
            from glamor_cli.runtimes.sidecar import sidecar_path

            yield sidecar_path(path)


def run_files(run: Path) -> Iterator[Path]:
    """List the files of an ablation's trainings; its table, which is not read, is beside them."""
    return run.glob("*/*")
