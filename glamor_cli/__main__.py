"""The command ``glamor``."""

import os
import sys
from typing import NoReturn

from glamor_cli.errors import (
    INTERRUPTED,
    BackendUnavailable,
    ConfigError,
    GlamorError,
    PeerFailed,
    is_lack_of_memory,
    is_lack_of_threads,
    no_threads,
    reason_of,
    whole_reason_of,
)
from glamor_cli.system.interrupting import let_signals_end, let_signals_interrupt
from glamor_cli.system.torchrun import is_follower
from glamor_cli.system.waiting_threads import end_beside_waiting_threads


def main() -> None:
    """Run the command line; a user's error becomes two lines and an exit code."""
    try:
        _run()
    except SystemExit as end:
        let_signals_end(end.code)
        end_beside_waiting_threads(end.code)
        raise


def _run() -> None:
    _open_closed_streams()
    verbose = _take_verbose(sys.argv)
    # A notebook's matplotlib backend may not load here; figures only ever go into files.
    os.environ["MPLBACKEND"] = "agg"
    # Pillow gives all memory of a large image back, and gets it anew for the next.
    os.environ.setdefault("PILLOW_BLOCKS_MAX", "8")
    # Typer takes it for a number when it is imported.
    if not os.environ.get("TERMINAL_WIDTH", "").isdecimal():
        os.environ.pop("TERMINAL_WIDTH", None)
    let_signals_interrupt()
    try:
        # Imported here so that Ctrl-C ends a command in its first moment too.
        from glamor_cli.cli.app import app

        app()
    except GlamorError as error:
        is_told = isinstance(error, PeerFailed) and is_follower()
        _fail(error, error, verbose=verbose, quiet=is_told)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _was_interrupted_import(error):
            if verbose:
                raise
            sys.exit(INTERRUPTED)
        report = _explain(error)
        if report is None:
            raise
        _fail(error, report, verbose=verbose)


def _was_interrupted_import(error: Exception) -> bool:
    from glamor_cli.system.extras import was_interrupted

    return _is_of_import(error) and was_interrupted(error)


def _is_of_import(error: Exception) -> bool:
    """Tell whether an exception was raised while a package was being imported."""
    entry = error.__traceback__
    found = isinstance(error, ImportError)
    while entry is not None and not found:
        code = entry.tb_frame.f_code
        # Code in a string has a name in brackets for its file.
        found = code.co_name == "<module>" and not code.co_filename.startswith("<")
        entry = entry.tb_next
    return found


def _explain(error: Exception) -> GlamorError | None:
    """Make the report of what the system refuses, or of what does not load; None of others."""
    from glamor_cli.system.extras import TEMPORARY_FILES, lacks_temporary_files, reinstall_or

    if is_lack_of_memory(error):
        return BackendUnavailable(
            "there is not enough memory to go on",
            "Give a smaller --batch or --batch-max, free memory, or raise the limit (ulimit -v).",
        )
    if lacks_temporary_files(error):
        return ConfigError("no folder takes temporary files", TEMPORARY_FILES)
    # Of a library that does not load, neither a number nor a file is told.
    if isinstance(error, OSError) and not (error.errno is None and _is_of_import(error)):
        named = "" if error.filename is None else f"cannot use {error.filename}: "
        return ConfigError(
            f"{named}{reason_of(error)}",
            "Check the path and its permissions; --verbose shows where it was used.",
        )
    if is_lack_of_threads(error):
        return no_threads()
    if _is_of_import(error):
        return BackendUnavailable(
            f"a package that glamor needs does not load ({whole_reason_of(error)})",
            f"glamor doctor says which. {reinstall_or(error)}",
        )
    return None


def _fail(error: Exception, report: GlamorError, *, verbose: bool, quiet: bool = False) -> NoReturn:
    """End with an error's two lines, or with what Python prints of one that nobody catches."""
    if verbose:
        sys.excepthook(type(error), error, error.__traceback__)
    elif not quiet:
        # Imported here because it is slow, and most runs end well.
        try:
            from glamor_cli.cli.render import print_error
        except Exception:  # where what it prints with is what does not load
            sys.stderr.write(f"error: {report}\n")
        else:
            print_error(report)
    sys.exit(report.exit_code)


def _open_closed_streams() -> None:
    """Point closed standard streams at the null device, so that no file gets their number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, which is this one.
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def _take_verbose(words: list[str]) -> bool:
    """Take ``--verbose`` out, so that it may stand anywhere: no command has it as an option."""
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:end] if word != "--verbose"]
    words[:end] = options
    return len(options) < end


if __name__ == "__main__":
    main()
