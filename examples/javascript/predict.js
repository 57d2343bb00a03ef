// Emotions of the faces in a photograph, without glamor: one graph from pixels to answers.
//
//   glamor export --with-preprocessing --output glamor.onnx
//   npm install
//   node predict.js glamor.onnx photo.png 60,40,171,151 220,38,330,148
//
// A box is x1,y1,x2,y2 in pixels: the square in which dlib's detector frames a face, because the
// network expects it so. Other detectors frame faces otherwise, and their boxes must be brought to
// that square first. CenterFace's, of width w and height h, becomes the square of side 0.92 s around
// its centre moved down by 0.02 s, with s = sqrt(w h).
//
// 0,0,0,0 means no face, and so does a box beyond the upper left corner, as in the authors' program.
// Any other box with nothing inside the picture has no answer.
//
// Unlike the Python example this one does not apply the EXIF orientation of a JPEG: pngjs and jpeg-js
// give the pixels as they are stored. Turn such photographs first, or decode them in a browser, whose
// canvas has them upright.
//
// onnxruntime-web runs in browsers and in node; onnxruntime-node has the same interface and is faster
// where it can be installed.
import { readFile } from "node:fs/promises";

import jpeg from "jpeg-js";
import * as ort from "onnxruntime-web";
import { PNG } from "pngjs";

/** Decode a PNG or JPEG to a uint8 tensor [H, W, 3], RGB. */
async function readImage(path) {
  const bytes = await readFile(path);
  const isPng = bytes[0] === 0x89;
  const { width, height, data } = isPng
    ? PNG.sync.read(bytes)
    : jpeg.decode(bytes, { useTArray: true });
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    rgb.set(data.subarray(4 * pixel, 4 * pixel + 3), 3 * pixel); // leaves alpha behind
  }
  return new ort.Tensor("uint8", rgb, [height, width, 3]);
}

/** Read the classes, in the order of the probabilities, out of the model's own metadata. */
function readClasses(bytes) {
  // The metadata is JSON inside the file; onnxruntime-web does not hand it out.
  const text = Buffer.from(bytes).toString("latin1");
  // Brackets and escaped quotation marks may be part of a name.
  const found = text.match(/"classes": (\[(?:"(?:[^"\\]|\\.)*"(?:, )?)*\])/);
  if (!found) stop("this model was not written by glamor export");
  return JSON.parse(found[1]);
}

/** Say what is wrong, and end. */
function stop(what) {
  console.error(what);
  process.exit(1);
}

const [model, photo, ...places] = process.argv.slice(2);
if (!places.length) stop("usage: node predict.js MODEL.onnx PHOTO x1,y1,x2,y2 ...");
const boxes = places.map((place) => place.split(",").map((side) => (side.trim() ? Number(side) : NaN)));
if (boxes.some((box) => box.length !== 4 || !box.every(Number.isFinite))) {
  stop("a box has four finite numbers: x1,y1,x2,y2");
}

ort.env.wasm.numThreads = 1; // more needs worker files that a bundler has to place
const bytes = await readFile(model);
const classes = readClasses(bytes);
const session = await ort.InferenceSession.create(bytes);
if (session.inputNames.join() !== "image,boxes") {
  stop(`${model} takes no image and boxes: export it with --with-preprocessing`);
}
const answer = await session.run({
  image: await readImage(photo),
  boxes: new ort.Tensor("float32", Float32Array.from(boxes.flat()), [boxes.length, 4]),
});

const probabilities = answer.probabilities.data;
const weights = answer.stream_weights.data;
for (let face = 0; face < boxes.length; face++) {
  const row = Array.from(
    probabilities.subarray(face * classes.length, (face + 1) * classes.length),
  );
  const told = row.some(Number.isNaN)
    ? { emotion: null, reason: "nothing of this box is inside the picture" }
    : {
        emotion: classes[row.indexOf(Math.max(...row))],
        probabilities: Object.fromEntries(classes.map((name, i) => [name, row[i]])),
        face_weight: weights[2 * face],
        context_weight: weights[2 * face + 1],
      };
  console.log(JSON.stringify({ box: boxes[face], ...told }));
}
