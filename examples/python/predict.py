"""Emotions of the faces in a photograph, without glamor: one graph from pixels to answers.

glamor export --with-preprocessing --output glamor.onnx
pip install onnxruntime numpy pillow
python predict.py glamor.onnx photo.png 60,40,171,151 220,38,330,148

A box is x1,y1,x2,y2 in pixels of the picture the right way up (its EXIF orientation is applied). It
is the square in which dlib's detector frames a face: the network expects it so. Other detectors
frame faces otherwise, and their boxes must be brought to that square first. CenterFace's, of width
w and height h, becomes the square of side 0.92 s around its centre moved down by 0.02 s, with
s = sqrt(w h).

0,0,0,0 means no face, and so does a box beyond the upper left corner, as in the authors' program.
Any other box with nothing inside the picture has no answer.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

if len(sys.argv) < 4:
    sys.exit("usage: python predict.py MODEL.onnx PHOTO x1,y1,x2,y2 ...")
model, photo, *places = sys.argv[1:]

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
if [entry.name for entry in session.get_inputs()] != ["image", "boxes"]:
    sys.exit(f"{model} takes no image and boxes: export it with --with-preprocessing")
classes = json.loads(session.get_modelmeta().custom_metadata_map["glamor"])["classes"]
with Image.open(photo) as opened:
    upright = ImageOps.exif_transpose(opened)
    if upright.mode.startswith("I"):  # Pillow would cut its values off at 255
        sys.exit(f"{photo} has gray values of more than 8 bits: bring them to 8 bits first")
    image = np.asarray(upright.convert("RGB"))  # uint8 [H, W, 3]
try:
    boxes = np.array([place.split(",") for place in places], np.float32)
except ValueError:
    boxes = np.empty((0, 0), np.float32)
if boxes.shape[1] != 4 or not np.isfinite(boxes).all():
    sys.exit("a box has four finite numbers: x1,y1,x2,y2")

names = ["probabilities", "stream_weights"]
answers = session.run(names, {"image": image, "boxes": boxes})
for box, probabilities, weights in zip(boxes, *answers, strict=True):
    if np.isnan(probabilities).any():
        answer = {"emotion": None, "reason": "nothing of this box is inside the picture"}
    else:
        answer = {
            "emotion": classes[int(probabilities.argmax())],
            "probabilities": dict(zip(classes, probabilities.tolist(), strict=True)),
            "face_weight": float(weights[0]),
            "context_weight": float(weights[1]),
        }
    sys.stdout.write(json.dumps({"box": box.tolist(), **answer}, allow_nan=False) + "\n")
