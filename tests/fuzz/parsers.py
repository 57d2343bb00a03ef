"""Every parser of strangers' files, each as a function of bytes, with small files to begin from.

A parser may refuse what it is given with a ``GlamorError`` and nothing else. Where a parser reads
several files, the first byte of an input says which of them the rest is. The same inputs serve
the short run in the tests (``test_fuzz.py``) and the long one (``run.py``).
"""

import hashlib
import io
import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from bundle_writer import (
    block,
    header,
    message,
    number,
    place,
    seal,
    table,
    write_bundle,
)
from PIL import Image

from glamor_cli.data.data_sets.crop_files import read_box
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.preprocess.source_summary import summarise
from glamor_cli.data.store.export_crops import export_crops
from glamor_cli.data.store.format import StoreInfo
from glamor_cli.data.store.index import read_index
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.data.store.writer import StoreWriter
from glamor_cli.errors import DataError, GlamorError
from glamor_cli.vision.images import read_image
from glamor_cli.vision.status import Status
from glamor_cli.weights.metadata import METADATA_KEY, Metadata

CLASSES = "Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise"


@dataclass(frozen=True)
class Parser:
    """Something that reads strangers' bytes.

    Attributes:
        read: Reads an input, in a folder that may be written to.
        seeds: Small inputs to begin from, most of them good ones.
        memory_mb: What its process may take at most, libraries included.
        seconds: What one input may take at most.
        tokens: Pieces that inputs are made of.
    """

    read: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    memory_mb: int = 512
    seconds: int = 10
    tokens: tuple[bytes, ...] = ()


def refuses(error: type[GlamorError] = GlamorError) -> "suppress":
    """Let a parser refuse."""
    return suppress(error)


def read_one_image(data: bytes, folder: Path) -> None:
    path = folder / "image"
    path.write_bytes(data)
    with refuses(DataError):
        pixels = read_image(path)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise AssertionError(f"{pixels.dtype} {pixels.shape}")


def image_seeds() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    rgba = Image.fromarray(pixels)
    rgb, gray = rgba.convert("RGB"), rgba.convert("L")
    deep = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    saved = [
        (rgb, "JPEG", {"exif": exif.tobytes()}),
        (rgb, "JPEG", {"progressive": True, "subsampling": 0}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgba, "PNG", {}),
        (deep, "PNG", {}),
        (rgb.convert("P"), "PNG", {"transparency": 0}),
        (gray.convert("1"), "PNG", {}),
        (rgb, "BMP", {}),
        (rgb.convert("P"), "GIF", {"save_all": True, "append_images": [gray.convert("P")]}),
        (rgb, "PPM", {}),
        (gray, "PPM", {}),
        (rgba, "WEBP", {"lossless": True}),
        (rgb, "WEBP", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (deep, "TIFF", {}),
        (rgb, "TIFF", {"compression": "jpeg"}),
        (rgb.resize((32, 32)), "JPEG2000", {}),
    ]
    with suppress(ImportError):
        from PIL import _avif  # noqa: F401

        saved.append((rgb, "AVIF", {}))
    seeds = [_encoded(image, kind, options) for image, kind, options in saved]
    with suppress(ImportError):
        import pillow_heif

        for name in ("RGB", "RGBA"):
            buffer = io.BytesIO()
            pillow_heif.from_pillow(rgba.convert(name)).save(buffer)
            seeds.append(buffer.getvalue())
    return seeds


def _encoded(image: Image.Image, kind: str, options: dict) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read_one_box(data: bytes, folder: Path) -> None:
    path = folder / "box.txt"
    path.write_bytes(data)
    with refuses(DataError):
        box = read_box(path)
        if not all(isinstance(value, int) for value in box):
            raise AssertionError(box)


def read_one_manifest(data: bytes, folder: Path) -> None:
    path = folder / "manifest.csv"
    path.write_bytes(data)
    with refuses(DataError):
        data_set = open_data_set(path)
        summarise(data_set, box_files=False)
        for split in data_set.splits:
            for record in itertools.islice(data_set.records(split), 50):
                with refuses(DataError):
                    read_image(record.source)


def manifest_seeds() -> list[bytes]:
    return [
        b"path,label\na.png,Happy\nb/c.png,sad\n",
        b"path,label,split,x1,y1,x2,y2\na.png,Fear,train,1,2,30,40\nb.png,Sad,test,,,,\n",
        f"label,path,{CLASSES}\nHappiness,a.png,1,0,0,3,0,0,0\nSad,b.png,,,,,,,\n".encode(),
        b'\xef\xbb\xbfPath,Label\n"two\nlines, and comma.png",NEUTRAL\n\xff\xfe.png,Angry\r\n',
        b"path,label,split\n../../x.png,Sad,../up\n/etc/passwd,Sad,train\n",
    ]


@cache
def _store_files() -> tuple[dict[str, bytes], StoreInfo]:
    """The files of a small finished store, and what it says of itself."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number_ in range(2):
            _write_png(root / f"{number_}.png", number_)
        (root / "manifest.csv").write_text(
            f"path,label,{CLASSES}\n0.png,Happy,1,0,0,3,0,0,0\n1.png,Sad,,,,,,,\nno.png,Sad,,,,,,,\n"
        )
        making = PairMaking(boxes=BoxSource.WHOLE)
        preprocess(PreprocessConfig(root, root / "store", making, workers=1))
        store = root / "store"
        files = {
            path.relative_to(store).as_posix(): path.read_bytes()
            for path in sorted(store.rglob("*"))
            if path.is_file()
        }
        return files, StoreInfo.read(store)


def _write_png(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


STORE_PARTS = ("store.json", "all/index.csv", "all/targets.npy", "all/faces.npy")
_ARRAYS_HEAD = 200


def read_one_store(data: bytes, folder: Path) -> None:
    """Open, read, verify, take the boxes out, and go on with it as if it were unfinished."""
    files, info = _store_files()
    store, out = folder / "in" / "store", folder / "in" / "out"
    shutil.rmtree(folder / "in", ignore_errors=True)
    part = STORE_PARTS[data[0] % len(STORE_PARTS)] if data else STORE_PARTS[0]
    for name, raw in files.items():
        path = store / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = data[1:] + raw[_ARRAYS_HEAD:] if part.endswith(".npy") else data[1:]
        path.write_bytes(head if name == part else raw)
    with refuses(DataError):
        opened = PairStore.open(store)
        for name in opened.splits:
            with refuses(DataError):
                opened.split(name).pairs(slice(0, 2))
        with refuses(DataError):
            opened.verify()
        with refuses():
            export_crops(opened, out)
    with refuses(DataError):
        for entry, _ in read_index(store / "all" / "index.csv", unfinished=True):
            if entry.status is Status.OK and type(entry).from_line(entry.to_line()) != entry:
                raise AssertionError(entry)
    replace(info, complete=False, counts={}).write(store)
    with (
        refuses(DataError),
        StoreWriter.open(store, replace(info, complete=False, counts={})) as writer,
        writer.split("all") as split,
    ):
        split.finish()
    # Nothing may be written anywhere else.
    found = {path.name for path in (folder / "in").iterdir()}
    if not found <= {"store", "out"}:
        raise AssertionError(found)


def store_seeds() -> list[bytes]:
    files, _ = _store_files()
    seeds = []
    for number_, part in enumerate(STORE_PARTS):
        raw = files[part]
        seeds.append(bytes([number_]) + (raw[:_ARRAYS_HEAD] if part.endswith(".npy") else raw))
    wild = json.loads(files["store.json"])
    wild["classes"] = ["../../x", *wild["classes"][1:]]
    seeds.append(b"\0" + json.dumps(wild).encode())
    index = files["all/index.csv"].replace(b"0.png", b"../../0.png")
    return [*seeds, b"\1" + index, b"\1" + index.replace(b"Happy", b"../../x")]


def read_one_safetensors(data: bytes, folder: Path) -> None:
    from glamor_cli.weights.network_file import load_network, read_metadata, read_tensors

    path = folder / "weights.safetensors"
    path.write_bytes(data)
    with refuses():
        read_metadata(path)
    with refuses():
        read_tensors(path)
    with refuses():
        load_network(path)


def safetensors_seeds() -> list[bytes]:
    from safetensors.numpy import save

    metadata = {METADATA_KEY: Metadata(name="seed").to_json()}
    small = np.zeros((2, 3), np.float32)
    tensors = [
        {"classifier.logits.bias": np.zeros(7, np.float32)},
        {"a": small, "b": small.astype(np.float16)},
        {"a": np.zeros((0,), np.int64)},
    ]
    return [save(some, metadata=metadata) for some in tensors] + [save(tensors[1])]


def read_one_metadata(data: bytes, folder: Path) -> None:
    with refuses():
        metadata = Metadata.from_json(data.decode("utf-8", "replace"), folder / "x")
        if Metadata.from_json(metadata.to_json(), folder / "x") != metadata:
            raise AssertionError(metadata)


def metadata_seeds() -> list[bytes]:
    plain = Metadata(name="seed")
    rich = replace(plain, temperature=1.5, accuracy={"scenes": 0.5}, training_data="scenes")
    return [plain.to_json().encode(), rich.to_json().encode(), b"[[[[", b'{"schema": 1e999}']


def read_one_bundle(data: bytes, folder: Path) -> None:
    """A whole index; or, with checksums as they should be, a block or an entry of one."""
    from glamor_cli.export.tensor_bundle import TensorBundle

    entries, shard = _bundle()
    kind, body = (data[0] % 3, data[1:]) if data else (0, b"")
    if kind == 1:
        body = table(seal(body))
    elif kind == 2:
        rows = [(b"", header()), *sorted(entries.items()), (b"x", body)]
        body = table(block(rows))
    prefix = folder / "Model"
    Path(f"{prefix}.index").write_bytes(body)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(shard)
    with refuses():
        bundle = TensorBundle.open(prefix)
        for key, entry in bundle.entries.items():
            with refuses():
                bundle.read(key, entry.shape)


def _bundle() -> tuple[dict[bytes, bytes], bytes]:
    tensors = {"a": np.ones((2, 3), np.float32), "b/c": np.arange(4, dtype=np.int64)}
    entries, shard = place(tensors)
    return {key.encode(): entry.encode() for key, entry in entries.items()}, shard


def bundle_seeds() -> list[bytes]:
    import tempfile

    entries, _ = _bundle()
    with tempfile.TemporaryDirectory() as folder:
        prefix = write_bundle(Path(folder) / "Model", {"a": np.ones((2, 3), np.float32)})
        whole = Path(f"{prefix}.index").read_bytes()
    rows = [(b"", header()), *sorted(entries.items())]
    odd = number(1, 1) + message(2, message(2, number(1, 2**63)) * 9) + number(5, 2**64 - 1)
    return [
        b"\0" + whole,
        b"\1" + block(rows)[:-5],
        *(b"\2" + entry for entry in entries.values()),
        b"\2" + odd,
    ]


def read_one_onnx(data: bytes, folder: Path) -> None:
    from glamor_cli.runtimes.onnx import OnnxRuntime

    path = folder / "network.onnx"
    path.write_bytes(data)
    with refuses():
        OnnxRuntime(path, device="cpu", threads=1)


def onnx_seeds() -> list[bytes]:
    """A graph with the network's inputs and outputs, and nothing of it inside."""
    from onnx import TensorProto, helper

    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, ["batch", 3, 96, 96])
    context = helper.make_tensor_value_info("context", TensorProto.FLOAT, ["batch", 3, 112, 112])
    shapes = {"probabilities": 7, "attention": 7, "stream_weights": 2}
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in shapes.items()
    ]
    nodes = [helper.make_node("ReduceMean", ["face"], ["mean"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Unsqueeze", ["mean"], ["column"], axes=[1]))
    for name, size in shapes.items():
        scale = helper.make_tensor(f"{name}_scale", TensorProto.FLOAT, [1, size], [0.5] * size)
        nodes.append(helper.make_node("Constant", [], [f"{name}_scale"], value=scale))
        nodes.append(helper.make_node("Mul", ["column", f"{name}_scale"], [name]))
    graph = helper.make_graph(nodes, "network", [face, context], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: Metadata(name="seed").to_json()})
    bare = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    return [model.SerializeToString(), bare.SerializeToString()]


_ENGINE = b"an engine"


def read_one_sidecar(data: bytes, folder: Path) -> None:
    from glamor_cli.runtimes.sidecar import read_sidecar, sidecar_path

    engine = folder / "network.engine"
    engine.write_bytes(_ENGINE)
    sidecar_path(engine).write_bytes(data)
    with refuses():
        str(read_sidecar(engine).rebuild_remedy(engine))


def sidecar_seeds() -> list[bytes]:
    from glamor_cli.runtimes.sidecar import Sidecar
    from glamor_cli.runtimes.tensorrt_library import Target

    sidecar = Sidecar(
        target=Target.RTX,
        version="1.0",
        platform="linux-x86_64",
        architectures=("SM89",),
        gpu="",
        precision="fp32",
        batch_min=1,
        batch_opt=8,
        batch_max=32,
        sha256=hashlib.sha256(_ENGINE).hexdigest(),
        metadata=Metadata(name="seed"),
    )
    return [json.dumps(asdict(sidecar)).encode()]


_JSON = (b"{", b"[", b"null", b"1e999", b"-1", b"9" * 400, b'"../../x"', b"NaN", b"\\u0000")

PARSERS = {
    # A file of a few bytes may ask for MAX_PIXELS, which is what the bound is for.
    "images": Parser(read_one_image, image_seeds, memory_mb=2500, tokens=(b"\xff\xff\xff\x7f",)),
    "crop-files": Parser(read_one_box, lambda: [b"1,2,30,40\n", b" 1, 2 ,-3,4\r\n", b"0,0,0,0"]),
    "manifests": Parser(
        read_one_manifest, manifest_seeds, tokens=(b'"', b",", b"\n", b"nan", b"1e999", b"\0")
    ),
    "stores": Parser(read_one_store, store_seeds, tokens=(*_JSON, b",", b"\n", b"\\x", b"\\u")),
    "safetensors": Parser(read_one_safetensors, safetensors_seeds, memory_mb=2500, tokens=_JSON),
    "metadata": Parser(read_one_metadata, metadata_seeds, tokens=_JSON),
    "tensorflow": Parser(read_one_bundle, bundle_seeds, memory_mb=2500, tokens=(b"\xff" * 9,)),
    "onnx": Parser(read_one_onnx, onnx_seeds, memory_mb=2500),
    "sidecars": Parser(read_one_sidecar, sidecar_seeds, tokens=_JSON),
}
