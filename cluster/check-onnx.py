"""The work of check-onnx.sh, which see."""
import argparse
import glob
import json
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from numpy.lib.stride_tricks import sliding_window_view
from onnx import numpy_helper

FAMILIES = ("yolov5n yolov5s yolov5m yolov5l yolov5x mobilenetv1 mobilenetv2 mobilenetv3-small mobilenetv3-large "
            "shufflenetv1 shufflenetv2 ghostnet").split()
IMAGE_SIZE = 64
TOLERANCE = 1e-4


# ------------------------------------------------------------------------------------------------------- Files and runs

def read_safetensors(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    types = {"F16": np.float16, "F32": np.float32, "I64": np.int64}
    metadata = header.pop("__metadata__", {})
    return {name: np.frombuffer(data[slice(*item["data_offsets"])], types[item["dtype"]]).reshape(item["shape"])
            for name, item in header.items()}, metadata


def write_safetensors(path, tensors, metadata):
    types = {np.dtype(np.float32): "F32", np.dtype(np.int64): "I64"}
    header, data = {"__metadata__": metadata}, b""
    for name, value in tensors.items():
        bytes = np.ascontiguousarray(value).tobytes()
        header[name] = {"dtype": types[value.dtype], "shape": list(value.shape),
                        "data_offsets": [len(data), len(data) + len(bytes)]}
        data += bytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def greensweep(*words):
    run = subprocess.run([BINARY, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"greensweep {' '.join(map(str, words))}: status {run.returncode}\n{run.stderr}")
    return run.stdout


def onnxruntime_outputs(path, images):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return {output.name: value for output, value in zip(session.get_outputs(), session.run(None, {"images": images}))}


# ---------------------------------------------------------------------------------------------------- ONNX in float64

def windows(x, kernel, pads, strides, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    return sliding_window_view(x, kernel, (2, 3))[:, :, ::strides[0], ::strides[1]]


def convolution(x, weight, bias=None, group=1, kernel_shape=None, pads=(0, 0, 0, 0), strides=(1, 1)):
    patches = windows(x, weight.shape[2:], pads, strides, 0)
    n, c, h, w = patches.shape[:4]
    patches = patches.reshape(n, group, c // group, h, w, -1).transpose(1, 0, 3, 4, 2, 5).reshape(group, n * h * w, -1)
    y = patches @ weight.reshape(group, weight.shape[0] // group, -1).transpose(0, 2, 1)
    y = y.reshape(group, n, h, w, -1).transpose(1, 0, 4, 2, 3).reshape(n, weight.shape[0], h, w)
    return y if bias is None else y + bias[:, None, None]


def normalization(x, scale, shift, mean, variance, epsilon):
    factor = scale / np.sqrt(variance + epsilon)
    return x * factor[:, None, None] + (shift - mean * factor)[:, None, None]


def slice_of(x, starts, ends, axes):
    (start,), (end,), (axis,) = starts, ends, axes
    return x[(slice(None),) * int(axis) + (slice(int(start), int(end)),)]


def repeated(x, _, scales, **attributes):
    return x.repeat(int(scales[2]), 2).repeat(int(scales[3]), 3)


OPERATORS = {
    "Add": np.add, "Mul": np.multiply, "BatchNormalization": normalization, "Conv": convolution, "Slice": slice_of,
    "Resize": repeated, "Identity": lambda x: x, "Relu": lambda x: np.maximum(x, 0), "Clip": np.clip,
    "Sigmoid": lambda x: 0.5 + 0.5 * np.tanh(x / 2),
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "Concat": lambda *xs, axis: np.concatenate(xs, axis),
    "Transpose": lambda x, perm: x.transpose(perm),
    "Reshape": lambda x, shape: x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape)]),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdims=True),
    "MaxPool": lambda x, kernel_shape, pads, strides: windows(x, kernel_shape, pads, strides, -np.inf).max((4, 5)),
    "AveragePool": lambda x, kernel_shape, pads, strides, count_include_pad:
        windows(x, kernel_shape, pads, strides, 0).mean((4, 5)),
}


def float64_outputs(model, images):
    """What the graph means: the same operators and the same float32 parameters, computed in float64."""
    values = {"": None, "images": images.astype(np.float64)}
    for initializer in model.graph.initializer:
        value = numpy_helper.to_array(initializer)
        values[initializer.name] = value.astype(np.float64) if value.dtype == np.float32 else value
    for node in model.graph.node:
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        for name in ("coordinate_transformation_mode", "mode", "nearest_mode"):
            attributes.pop(name, None)
        if node.op_type == "HardSigmoid":  # A float32 attribute; a sixth is meant.
            attributes["alpha"] = 1 / 6
        values[node.output[0]] = OPERATORS[node.op_type](*(values[name] for name in node.input), **attributes)
    return {output.name: values[output.name] for output in model.graph.output}


# ------------------------------------------------------------------------------------------------------------ Families

def randomize(source, target):
    """Weights that keep values in a sensible range, and batch norms that scale and shift."""
    tensors, metadata = read_safetensors(source)
    random = np.random.default_rng(1)
    result = {}
    for name, old in tensors.items():
        if name.endswith("anchors") or old.dtype == np.int64:
            result[name] = old
            continue
        u = random.uniform(-1, 1, old.shape)
        if old.ndim > 1:
            value = u * np.sqrt(6 / np.prod(old.shape[1:]))
        elif name.endswith("running_var") or name.endswith("weight"):
            value = 1 + u / 2
        else:
            value = u / 10
        result[name] = value.astype(np.float32)
    write_safetensors(target, result, metadata)


def difference(a, b):
    """The largest difference as a share of the tensor's largest value, and the worst of the single values' own (values
    below a millionth of the largest are left out)."""
    gap, size = np.abs(a - b), np.abs(b)
    counted = size > 1e-6 * size.max()
    return gap.max() / size.max(), (gap[counted] / size[counted]).max()


def check_export(model, folder, options):
    """The worst over the outputs of: ours to ONNX Runtime's (as a share of the tensor's largest value, and of each
    value), ours to float64, ONNX Runtime's to float64."""
    path, sample = f"{folder}/model.onnx", f"{folder}/sample.safetensors"
    greensweep("export", model, "-o", path, "--sample", sample, "--image-size", IMAGE_SIZE, "--threads", 1, *options)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    ours, _ = read_safetensors(sample)
    images = ours.pop("images")
    theirs, exact = onnxruntime_outputs(path, images), float64_outputs(proto, images)
    if not set(ours) == set(theirs) == set(exact):
        sys.exit(f"{path}: outputs {sorted(theirs)}, ours are {sorted(ours)}")
    rows = []
    for name, value in ours.items():
        if not value.shape == theirs[name].shape == exact[name].shape:
            sys.exit(f"{path}: {name} is {theirs[name].shape}, ours is {value.shape}")
        rows.append([*difference(value, theirs[name]), difference(value, exact[name])[0],
                     difference(theirs[name], exact[name])[0]])
    return np.array(rows).max(0)


VARIANTS = [("static", ["--batch", 2], "decoded"), ("static", ["--batch", 2, "--raw-head"], "raw"),
            ("dynamic", ["--dynamic-batch"], "decoded"), ("dynamic", ["--dynamic-batch", "--raw-head"], "raw")]


def print_head():
    print("Differences as shares of each output's largest value, which the tolerance is for; 'by value' as shares of\n"
          "each single value, which says little where sums cancel to nearly nothing.")
    header = ("model", "batch", "head", "ours - ORT", "by value", "ours - float64", "ORT - float64")
    print("{:24} {:8} {:8} {:>11} {:>11} {:>15} {:>14}".format(*header), flush=True)


def check_model(name, model, folder):
    failures = 0
    for batch, options, head in VARIANTS:
        row = check_export(model, folder, options)
        failures += not row[0] <= TOLERANCE
        print("{:24} {:8} {:8} {:11.1e} {:11.1e} {:15.1e} {:14.1e}{}".format(
            name, batch, head, *row, "" if row[0] <= TOLERANCE else "  FAILED"), flush=True)
    return failures


def check_families(families, folder):
    failures, data = 0, f"{folder}/data/data.yaml"
    shutil.rmtree(f"{folder}/data", ignore_errors=True)
    greensweep("dataset", "sample", f"{folder}/data", "--images", 64, "--image-size", IMAGE_SIZE)
    for family in families:
        fresh, random, pruned = (f"{folder}/{name}.safetensors" for name in ("fresh", "random", "pruned"))
        greensweep("import", family, "--nc", 4, "-o", fresh)
        randomize(fresh, random)
        # With statistics that are not those of its values a deep network multiplies what rounding leaves, up to 2e-4 on
        # every side; training gives it its own.
        whole = f"{folder}/trained/model.safetensors"
        shutil.rmtree(f"{folder}/trained", ignore_errors=True)
        greensweep("train", data, "--model", random, "--epochs", 8, "--batch", 4, "--nominal-batch", 4,
                   "--image-size", IMAGE_SIZE, "--no-autoanchor", "-o", f"{folder}/trained")
        greensweep("prune", whole, "--ratio", 0.3, "--policy", "grouped", "-o", pruned)
        failures += check_model(family, whole, folder) + check_model(f"{family}, pruned", pruned, folder)
    return failures


# ---------------------------------------------------------------------------------------------------------- Detections

def letterboxed(source, folder):
    """PNG files of 640 × 640 that all sides read without scaling them."""
    from PIL import Image
    paths = []
    for path in sorted(glob.glob(f"{source}/*")):
        image = Image.open(path).convert("RGB")
        scale = 640 / max(image.size)
        image = image.resize([max(round(side * scale), 1) for side in image.size], Image.BILINEAR)
        canvas = Image.new("RGB", (640, 640), (114, 114, 114))
        canvas.paste(image, ((640 - image.width) // 2, (640 - image.height) // 2))
        paths.append(f"{folder}/images/{len(paths) + 1:06}.png")
        canvas.save(paths[-1], compress_level=1)
    return paths


def suppressed(rows, confidence=0.001, overlap=0.6):
    """YOLOv5's non-maximum suppression, several labels a box: rows of left, top, right, bottom, score, class."""
    rows = rows[rows[:, 4] > confidence]
    scores = rows[:, 5:] * rows[:, 4:5]
    boxes = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    index, label = np.nonzero(scores > confidence)
    found = np.concatenate([boxes[index], scores[index, label][:, None], label[:, None].astype(np.float32)], 1)
    found = found[np.argsort(-found[:, 4], kind="stable")[:30000]]
    # In float64: the distance between classes would round float32 coordinates to 1/32 pixel.
    moved = found[:, :4].astype(np.float64) + found[:, 5:] * 7680.0
    kept, alive = [], np.ones(len(found), bool)
    for i in range(len(found)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == 300:
            break
        alive &= ~(overlaps(moved, moved[i]) > overlap)
    found = found[kept]
    found[:, :4] = found[:, :4].clip(0, 640)
    return found


def overlaps(boxes, box):
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shared = np.prod(np.clip(np.minimum(boxes[:, 2:4], box[2:4]) - np.maximum(boxes[:, :2], box[:2]), 0, None), 1)
    return shared / (area + (box[2] - box[0]) * (box[3] - box[1]) - shared)


def unmatched(a, b):
    """a's rows without a partner in b: same class, box within 0.05 pixels, score within 1e-4."""
    free, alone = np.ones(len(b), bool), []
    for row in a:
        close = free & (b[:, 5] == row[5]) & (np.abs(b[:, :4] - row[:4]).max(1) < 0.05) & (
            np.abs(b[:, 4] - row[4]) < 1e-4)
        if close.any():
            free[np.argmax(close)] = False
        else:
            alone.append(row)
    return np.array(alone).reshape(-1, 6)


def ties(a, b, overlap=0.6):
    """Which of a's rows stand where b has another that suppresses it and has the same score: of two such boxes the one
    that comes first stays, which rounding decides. (Scores are written with five digits.)"""
    return np.array([((b[:, 5] == row[5]) & (np.abs(b[:, 4] - row[4]) < 1e-5) & (overlaps(b, row) > overlap)).any()
                     for row in a], bool)


def predictions(model, folder, name):
    greensweep("val", model, f"{folder}/data.yaml", "--square", "--save-json", "--no-plots", "-o", f"{folder}/{name}")
    with open(f"{folder}/{name}/predictions.json", "rb") as file:
        return file.read()


def check_detections(weights, source, folder):
    os.makedirs(f"{folder}/images", exist_ok=True)
    paths = letterboxed(source, folder)
    with open(f"{folder}/data.yaml", "w") as file:  # Other names than COCO's: categories are then class indices.
        names = ", ".join(f"c{index}" for index in range(80))
        file.write(f"path: .\ntrain: images\nval: images\nnc: 80\nnames: [{names}]\n")
    greensweep("import", weights, "-o", f"{folder}/model.safetensors")
    greensweep("export", weights, "-o", f"{folder}/model.onnx")
    ours = predictions(weights, folder, "pt")
    same = predictions(f"{folder}/model.safetensors", folder, "safetensors") == ours

    from PIL import Image
    session = onnxruntime.InferenceSession(f"{folder}/model.onnx", providers=["CPUExecutionProvider"])
    lists = {}
    for item in json.loads(ours):
        x, y, w, h = item["bbox"]
        lists.setdefault(int(item["image_id"]), []).append([x, y, x + w, y + h, item["score"], item["category_id"]])
    count, theirs_count, tied, alone = 0, 0, 0, []
    for number, path in enumerate(paths, 1):
        image = np.asarray(Image.open(path), np.float32).transpose(2, 0, 1)[None] / 255
        theirs = suppressed(session.run(None, {"images": np.ascontiguousarray(image)})[0][0])
        mine = np.array(lists.get(number, [])).reshape(-1, 6)
        count, theirs_count = count + len(mine), theirs_count + len(theirs)
        ours_alone, theirs_alone = unmatched(mine, theirs), unmatched(theirs, mine)
        ours_tied, theirs_tied = ties(ours_alone, theirs_alone), ties(theirs_alone, ours_alone)
        tied += ours_tied.sum()
        alone += [*ours_alone[~ours_tied, 4], *theirs_alone[~theirs_tied, 4]]
    print(f"{weights}: {count} detections on {len(paths)} images; as safetensors: "
          f"{'the same bytes' if same else 'DIFFERENT'}; as ONNX: {theirs_count}, the same but for {tied} where two boxes "
          f"tie and {len(alone)} of both lists without a partner"
          + (f", the highest score is {max(alone):.3f}" if alone else ""))
    return (not same) + bool(alone)


parser = argparse.ArgumentParser(prog="check-onnx.sh")
parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
parser.add_argument("--family", choices=FAMILIES + ["none"])
parser.add_argument("--model", action="append", default=[])
parser.add_argument("--weights")
parser.add_argument("--images")
arguments = parser.parse_args()
BINARY = arguments.binary
families = [arguments.family] if arguments.family else FAMILIES
if arguments.model or arguments.family == "none":
    families = []
os.makedirs(f"{arguments.work}/models", exist_ok=True)
failed = 0
if families or arguments.model:
    print_head()
for path in arguments.model:
    failed += check_model(os.path.basename(path)[:24], path, f"{arguments.work}/models")
if families:
    failed += check_families(families, f"{arguments.work}/models")
if arguments.weights and arguments.images:
    failed += check_detections(arguments.weights, arguments.images, f"{arguments.work}/detections")
print(f"check-onnx: {'passed' if failed == 0 else f'{failed} failures'}")
sys.exit(failed != 0)
