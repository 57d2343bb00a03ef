"""The tree of exceptions: every error a user can cause, with what to do about it."""

import errno

INTERRUPTED = 130
"""The exit code of a run ended by Ctrl-C, as shells have it, by SIGTERM or by SIGHUP."""

_NO_MEMORY = (
    "bad_alloc",
    "can't allocate memory",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "not enough memory",
    "out of memory",
)
"""What libraries in C++ say where memory runs out: the language's own, torch's, CUDA's, ORT's."""

_NO_THREADS = ("can't start new thread", "pthread_create failed")
"""What Python and ONNX Runtime say where a limit of processes or of memory is reached."""


class GlamorError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        what: One line saying what is wrong.
        remedy: One line saying what to do.
        exit_code: The process's exit code when the error ends a command.
    """

    exit_code = 10

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n{remedy}")
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["GlamorError"], tuple[str, str]]:
        """Cross process borders whole: workers raise these."""
        return type(self), (self.what, self.remedy)


class ConfigError(GlamorError):
    """An option, recipe or combination of settings that cannot work."""

    exit_code = 3


class DataError(GlamorError):
    """An image, box, manifest, data set or pair store that cannot be used."""

    exit_code = 4


class CheckpointError(GlamorError):
    """Weights or a training checkpoint that are damaged, foreign or of another network."""

    exit_code = 5


class ExportError(GlamorError):
    """An export that failed or whose values do not match the network's."""

    exit_code = 6


class BackendUnavailable(GlamorError):  # noqa: N818 - the name is part of the contract
    """A device, library or provider that this machine does not have."""

    exit_code = 7


class PeerFailed(GlamorError):  # noqa: N818 - the process that reports it did not fail
    """Another process of the same distributed training failed, so this one cannot continue."""

    exit_code = 8


def is_lack_of_memory(error: BaseException) -> bool:
    """Tell whether an exception, of Python's or of a library in C++, says that memory ran out."""
    if isinstance(error, OSError):  # which also says a file's name
        return error.errno == errno.ENOMEM
    said = str(error)
    # What else oneDNN cannot make, it refuses as a "primitive descriptor".
    lacks = isinstance(error, MemoryError) or said == "could not create a primitive"
    return lacks or any(words in said for words in _NO_MEMORY)


def no_memory_to(task: str) -> BackendUnavailable:
    """Make the error that says that memory does not suffice to do something."""
    return BackendUnavailable(
        f"there is not enough memory to {task}",
        "Free some memory, or raise the limit (ulimit -v, or the container's).",
    )


def is_lack_of_threads(error: BaseException) -> bool:
    """Tell whether an exception says that the system starts no more threads."""
    return any(words in str(error) for words in _NO_THREADS)


def no_threads() -> BackendUnavailable:
    """Make the error that says that the system starts no more threads."""
    return BackendUnavailable(
        "the system lets this program start no more threads",
        "Raise its limit of processes (ulimit -u, --pids-limit), or free memory.",
    )


def reason_of(error: BaseException) -> str:
    """Give the first line that a library's exception says, or its name where it says nothing.

    For libraries whose first line is the reason, and the rest where in their source it was. Of what
    the operating system says, the file's name is left out: messages name it themselves.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__


def whole_reason_of(error: BaseException) -> str:
    """Give all that a library's exception says as one line, or its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
