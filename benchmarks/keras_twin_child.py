"""The other side of ``keras_twin.py``: GLAMOR-Net written with Keras, answering over pipes.

Runs where TensorFlow is and Glamor is not. Reads a JSON request a line and writes a JSON answer a
line; everything else goes to standard error.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
from turns import take_turn

KERNELS = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
STATISTICS = {"moving_mean": "running_mean", "moving_variance": "running_var"}


def block(x: Any, filters: int, name: str, *, pool: bool) -> Any:
    """Convolution, batch norm, ReLU, and max-pooling in all blocks but the last."""
    x = tf.keras.layers.Conv2D(filters, 3, padding="same", name=f"{name}.conv")(x)
    x = tf.keras.layers.BatchNormalization(name=f"{name}.norm")(x)
    x = tf.keras.layers.ReLU()(x)
    return tf.keras.layers.MaxPool2D(2)(x) if pool else x


def encoder(image: Any, name: str) -> Any:
    """Five blocks."""
    for index, filters in enumerate((32, 64, 128, 256, 256)):
        image = block(image, filters, f"{name}.blocks.{index}", pool=index < 4)
    return image


def build() -> Any:
    """The whole network; layers bear our parameters' names."""
    layers = tf.keras.layers
    face = tf.keras.Input((96, 96, 3))
    context = tf.keras.Input((112, 112, 3))
    face_vector = layers.GlobalAveragePooling2D()(encoder(face, "face_encoder"))
    positions = layers.Reshape((49, 256))(encoder(context, "context_encoder"))
    joined = layers.Concatenate()([layers.RepeatVector(49)(face_vector), positions])
    hidden = layers.ReLU()(layers.Dense(128, name="attention.hidden")(joined))
    hidden = layers.ReLU()(layers.BatchNormalization(name="attention.norm")(hidden))
    scores = layers.Dense(1, name="attention.score")(hidden)
    attention = layers.Softmax(axis=1)(scores)
    context_vector = layers.Reshape((256,))(layers.Dot(axes=1)([attention, positions]))
    weights = layers.Softmax()(
        layers.Concatenate()([stream(face_vector, "face"), stream(context_vector, "context")])
    )
    fused = layers.Concatenate()(
        [
            layers.Multiply()([face_vector, weights[:, :1]]),
            layers.Multiply()([context_vector, weights[:, 1:]]),
        ]
    )
    hidden = layers.Dense(128, activation="relu", name="classifier.hidden")(fused)
    logits = layers.Dense(7, name="classifier.logits")(layers.Dropout(0.5)(hidden))
    return tf.keras.Model([face, context], logits)


def stream(vector: Any, name: str) -> Any:
    """One stream's score."""
    dense = tf.keras.layers.Dense
    hidden = dense(128, activation="relu", name=f"fusion.{name}.0")(vector)
    return dense(1, name=f"fusion.{name}.2")(hidden)


def load(model: Any, path: str) -> None:
    """Set every variable from our tensors; each must have one."""
    with np.load(path) as tensors:
        for layer in model.layers:
            for variable in layer.variables:
                kind = variable.name.split("/")[-1].split(":")[0]
                if kind.startswith("seed"):
                    continue
                name = f"{layer.name}.{(KERNELS | STATISTICS)[kind]}"
                value = tensors[name]
                if value.ndim == 4:
                    value = value.transpose(2, 3, 1, 0)
                elif value.ndim == 2:
                    value = value.T
                variable.assign(value)


class Answering:
    """The network's ways to answer and to train: eager as the authors' program, and compiled."""

    def __init__(self) -> None:
        self.model = build()
        self.trained = build()
        self.optimizer = tf.keras.optimizers.SGD(0.0, momentum=0.9)
        self.loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.calls: dict[tuple[str, str, int], Callable[[], Any]] = {}

    def load(self, weights: str) -> dict[str, Any]:
        """Take our weights."""
        load(self.model, weights)
        load(self.trained, weights)
        self.optimizer.build(self.trained.trainable_variables)
        return {"version": tf.__version__}

    def answer(self, pairs: str) -> dict[str, Any]:
        """Answer given pairs, NCHW in a file."""
        with np.load(pairs) as arrays:
            face, context = (arrays[name].transpose(0, 2, 3, 1) for name in ("face", "context"))
        probabilities = tf.nn.softmax(self.model([face, context], training=False))
        return {"probabilities": probabilities.numpy().tolist()}

    def take_turn(self, what: str, way: str, batch: int) -> dict[str, float]:
        """Time predictions, NumPy in and out, or training steps."""
        return {"seconds": take_turn(self.call(what, way, batch))}

    def call(self, what: str, way: str, batch: int) -> Callable[[], Any]:
        """Make a call once, and run it until it is compiled."""
        if (what, way, batch) not in self.calls:
            random = np.random.default_rng(0)
            face = random.random((batch, 96, 96, 3), dtype=np.float32)
            context = random.random((batch, 112, 112, 3), dtype=np.float32)
            labels = np.arange(batch) % 7
            work = self.step if what == "train" else self.forward
            if way != "eager":
                work = tf.function(work, jit_compile=way == "xla")
            inputs = (face, context, labels) if what == "train" else (face, context)

            def run() -> Any:
                return work(*(tf.constant(values) for values in inputs)).numpy()

            run()
            self.calls[what, way, batch] = run
        return self.calls[what, way, batch]

    def forward(self, face: Any, context: Any) -> Any:
        """Probabilities."""
        return tf.nn.softmax(self.model([face, context], training=False))

    def step(self, face: Any, context: Any, labels: Any) -> Any:
        """Forward, backward, update."""
        with tf.GradientTape() as tape:
            loss = self.loss(labels, self.trained([face, context], training=True))
        gradients = tape.gradient(loss, self.trained.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.trained.trainable_variables, strict=True)
        )
        return loss


def main() -> None:
    """Answer until standard input ends."""
    threads = int(sys.argv[1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    answering = Answering()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(answering, request.pop("do"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
