"""The package ``fer`` at the other end of a pipe, in an environment of its own.

``compare_fer.py`` starts it. Reads a JSON request a line and answers with a JSON line:
``classify`` answers every image of an array file, ``time`` measures one round.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

THREADS = sys.argv[1]
os.environ.update(
    TF_NUM_INTRAOP_THREADS=THREADS,
    TF_NUM_INTEROP_THREADS=THREADS,
    OMP_NUM_THREADS=THREADS,
    TF_CPP_MIN_LOG_LEVEL="3",
    CUDA_VISIBLE_DEVICES="-1",
)
# What the libraries print must not come between the answers.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

import cv2  # noqa: E402
import fer  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from fer.fer import FER  # noqa: E402

cv2.setNumThreads(int(THREADS))
# The package's own network, with as many threads as it is to be compared at.
_lite = tf.lite.Interpreter(
    str(Path(fer.__file__).parent / "data" / "emotion_model_quantized.tflite"),
    num_threads=int(THREADS),
)
_lite.allocate_tensors()
FER._tflite_interpreter_cache = _lite

_SIDE = 64
_BATCH = 64


def main() -> None:
    """Answer until the pipe is closed."""
    networks = {
        "tflite": FER(use_tflite=True, offsets=(0, 0)),
        "keras": FER(use_tflite=False, offsets=(0, 0)),
    }
    for line in sys.stdin:
        request = json.loads(line)
        network = networks[request["network"]]
        images = np.load(request["images"])
        answer = (
            classify(network, images) if request["do"] == "classify" else clock(network, images)
        )
        print(json.dumps(answer), file=answers, flush=True)


def classify(network: FER, images: np.ndarray) -> dict[str, Any]:
    """Probabilities of every image, uint8 [N, 48, 48], each a whole face."""
    inputs = np.stack([cv2.resize(image, (_SIDE, _SIDE)) for image in images]).astype(np.float32)
    inputs = (inputs / 255 - 0.5) * 2
    probabilities = [
        np.asarray(network._classify_emotions(_fit(network, inputs[start : start + _BATCH])))
        for start in range(0, len(inputs), _BATCH)
    ]
    labels = FER._get_labels()
    keras = FER._model_cache
    return {
        "probabilities": np.concatenate(probabilities).tolist(),
        "labels": [labels[index] for index in range(len(labels))],
        # Those that are trained, as ours are counted.
        "parameters": sum(int(np.prod(one.shape)) for one in keras.trainable_weights),
        "versions": {"tensorflow": tf.__version__, "opencv": cv2.__version__},
    }


def clock(network: FER, images: np.ndarray) -> dict[str, list[float]]:
    """Seconds of every image, from its pixels to its answer, through the package's own call."""
    box = [(0, 0, images.shape[2], images.shape[1])]
    seconds = []
    for image in images:
        colour = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        began = time.perf_counter()
        network.detect_emotions(colour, box)
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def _fit(network: FER, inputs: np.ndarray) -> np.ndarray:
    """The Keras network wants the channel; the package adds it itself for the other one."""
    return inputs if network.use_tflite else inputs[..., None]


if __name__ == "__main__":
    main()
