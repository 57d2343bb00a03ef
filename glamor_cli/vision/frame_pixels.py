"""From a decoded frame to RGB pixels as they are meant to be seen."""

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import DataError
from glamor_cli.vision.ffmpeg import too_large
from glamor_cli.vision.images import MAX_PIXELS

_Matrix: TypeAlias = tuple[int, int, int, int]
"""a, b, c, d of FFmpeg's display matrix."""
_HD_ROWS = 576
"""Frames with more rows that do not name their colours are taken for BT.709, as players do."""
# FFmpeg's AVCOL_SPC: what it converts, and what it does not.
_CONVERTED = {0, 1, 4, 5, 6, 7, 9}
_LIKE_BT2020 = {10, 12, 13}
"""BT.2020 with constant luminance, and what is derived from primaries: nearest to BT.2020."""
_OTHERS = {8: "YCgCo", 11: "YDzDx", 14: "ICtCp", 15: "IPT-C2", 16: "YCgCo-R", 17: "YCgCo-R"}
_HIGH_RANGE = {16, 18}
"""FFmpeg's AVCOL_TRC of PQ and HLG, as phones and televisions use them."""
_STRANGEST_ASPECT = 8
"""Pixels more than this many times wider than high, or higher than wide, count as square."""


class FramePixels:
    """Converts the frames of one video; what a conversion needs is set up once.

    Args:
        av: The package PyAV.
        name: Of the video or camera, for messages.
        stream: The frames' own, as PyAV has opened it.
    """

    def __init__(self, av: Any, name: str, stream: Any) -> None:
        self._name = name
        self._decoder = stream.codec_context
        self._told_aspect: Fraction | int = stream.sample_aspect_ratio or 1
        self._first_aspect: Fraction | int | None = None
        self._matrix_type = av.sidedata.sidedata.Type.DISPLAYMATRIX
        self._reformatter = av.video.reformatter.VideoReformatter()
        kinds = av.video.reformatter
        self._as_bt709 = {
            "dst_color_trc": kinds.ColorTrc.BT709,
            "dst_color_primaries": kinds.ColorPrimaries.BT709,
        }
        self._matrices: dict[int, _Matrix | None] = {}

    def rgb(self, frame: Any) -> NDArray[np.uint8]:
        """Convert the frame that was decoded last.

        Pixels that are not square are made so by widening or narrowing the frame. Rotation and
        mirroring that the file asks for are applied. Transparent pixels are composited over black,
        as images' are, where the decoder tells them: FFmpeg's own of VP8 and VP9 does not. High
        dynamic range, PQ and HLG, is brought to BT.709, for which FFmpeg needs seconds once.

        Returns:
            uint8 [H, W, 3], RGB, C-contiguous.

        Raises:
            DataError: The frame's kind of colours is not read, or it has too many pixels.
        """
        width = max(1, round(frame.width * self._aspect()))
        if width * frame.height > MAX_PIXELS:
            raise too_large(self._name)
        converted = self._reformatter.reformat(
            frame,
            width=width,
            format="rgba" if _has_alpha(frame) else "rgb24",
            src_colorspace=self._colours(frame),
            src_color_range=frame.color_range,
            threads=1,
            # Only these: naming other curves would convert every video's colours.
            **(self._as_bt709 if frame.color_trc in _HIGH_RANGE else {}),
        )
        pixels = _over_black(converted.to_ndarray())
        return np.ascontiguousarray(_upright(pixels, self._matrix(frame)))

    def _aspect(self) -> float:
        """Give a pixel's width over its height: the file's, until its frames tell another one.

        Broadcasts change it between programmes. PyAV tells it of the decoder, not of a frame:
        those that are held back at the change may get the next one's.
        """
        now = self._decoder.sample_aspect_ratio or 1
        if self._first_aspect is None:
            self._first_aspect = now
        told = float(self._told_aspect if now == self._first_aspect else now)
        return told if 1 / _STRANGEST_ASPECT <= told <= _STRANGEST_ASPECT else 1.0

    def _colours(self, frame: Any) -> str | None:
        """Name the matrix between brightness with colour differences and RGB; None: FFmpeg's."""
        space = frame.colorspace
        if space in _OTHERS:
            raise DataError(
                f"{self._name} has colours of a kind that is not read, {_OTHERS[space]}",
                "Convert it to BT.709 first.",
            )
        if space in _LIKE_BT2020:
            return "bt2020"
        if space in _CONVERTED:
            return None
        # FFmpeg would take all that do not name their colours for BT.601, and refuse other numbers.
        return "itu709" if frame.height > _HD_ROWS else "itu601"

    def _matrix(self, frame: Any) -> _Matrix | None:
        """Tell how the file wants the frame turned; read anew only where that changes.

        A frame and PyAV's view of its side data hold each other: one that was looked at stays in
        memory until Python's collector comes, and that counts objects, not megabytes.
        """
        rotation = frame.rotation
        if rotation not in self._matrices:
            self._matrices[rotation] = self._read_matrix(frame)
        return self._matrices[rotation]

    def _read_matrix(self, frame: Any) -> _Matrix | None:
        try:
            data = frame.side_data.get(self._matrix_type)
        except ValueError:
            # Side data of a kind that PyAV does not know hides the rest of this frame's.
            return _ROTATIONS.get(round(frame.rotation / 90) * 90 % 360)
        if data is None:
            return None
        values = np.frombuffer(bytes(data), np.int32)
        return (int(values[0]), int(values[1]), int(values[3]), int(values[4]))


def _has_alpha(frame: Any) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def _over_black(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite RGBA over black; RGB stays.

    Where all is transparent nothing is: raw video of 32 bits often leaves the fourth channel empty.
    """
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if not alpha.any() or (alpha == 255).all():
        return colours
    return ((colours.astype(np.uint16) * alpha + 127) // 255).astype(np.uint8)


_ROTATIONS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}


def _upright(image: NDArray[np.uint8], matrix: _Matrix | None) -> NDArray[np.uint8]:
    """Turn and mirror an image so that pixel (x, y) goes towards (a x + c y, b x + d y).

    Angles between are brought to the next right one.
    """
    if matrix is None:
        return image
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    if a < 0:
        image = image[:, ::-1]
    return image[::-1] if d < 0 else image
