"""What reading files and cameras have in common of FFmpeg, which comes with PyAV (``video``)."""

from importlib.util import find_spec
from typing import Any

from glamor_cli.errors import DataError, whole_reason_of
from glamor_cli.system.extras import importing, install_extra
from glamor_cli.vision.images import MAX_PIXELS


def has_av() -> bool:
    """Say whether PyAV is installed, without loading it."""
    try:
        return find_spec("av") is not None
    except ValueError:  # where it was forbidden to load
        return False


def import_av() -> Any:
    """Import PyAV.

    Raises:
        BackendUnavailable: It is not installed, or does not load.
    """
    missing = "videos and cameras need PyAV, which is not installed"
    with importing("av", missing, install_extra("video")):
        import av
    return av


def tolerate_any_text(av: Any) -> dict[str, str]:
    """Let titles that are not UTF-8 pass, which PyAV does by itself from 19 on."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}


def choose_stream(av: Any, source: object, container: Any) -> Any:
    """Choose the stream to look at: the best one that is not a cover picture.

    Args:
        av: The package PyAV.
        source: What errors call the container.
        container: An open one.

    Raises:
        DataError: There is none, or none that FFmpeg can decode.
    """
    cover = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise DataError(
            f"{source} holds no video, only sound or data"
            if len(container.streams)
            else f"{source} holds no video",
            "Give a file with moving pictures in it.",
        )
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise DataError(
            f"{source} uses a codec that FFmpeg cannot decode", "Convert it to MP4 first."
        )
    return stream


def limit_pixels(decoder: Any, source: object) -> None:
    """Refuse frames of more pixels than are read.

    Args:
        decoder: Of a stream; it is told the bound, for frames that grow later.
        source: What errors call the container.

    Raises:
        DataError: They have more.
    """
    if decoder.width * decoder.height > MAX_PIXELS:
        raise too_large(source)
    decoder.options = {"max_pixels": str(MAX_PIXELS)}


def too_large(source: object) -> DataError:
    """Make the error that says that a source's frames have more pixels than are read."""
    return DataError(
        f"{source} has frames of more than {MAX_PIXELS / 1e6:.0f} million pixels",
        "Shrink it first; frames this large are refused.",
    )


def decoder_reason(error: Exception) -> str:
    """Give FFmpeg's own words, where it has some, without its numbers and without addresses."""
    return str(getattr(error, "strerror", None) or whole_reason_of(error))
