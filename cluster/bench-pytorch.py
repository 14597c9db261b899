"""The work of bench-pytorch.sh, which see."""
import argparse
import json
import os
import resource
import statistics
import struct
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

WARM_UP = 2
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}


# ---------------------------------------------------------------------------------------------------- PyTorch's network

class Graph(nn.Module):
    """The network of a model file, of PyTorch's own layers."""

    def __init__(self, network):
        super().__init__()
        self.outputs = network["detect"]["outputs"]
        self.steps = []
        readers = [0] * len(network["nodes"])
        for node in network["nodes"]:
            for index in node["inputs"]:
                readers[index] += 1
        self.layers = nn.ModuleList()
        for node in network["nodes"]:
            (kind, settings), = node["operation"].items()
            operation = getattr(self, kind)(settings.get("_0", settings), all(readers[i] == 1 for i in node["inputs"]))
            if isinstance(operation, nn.Module):
                self.layers.append(operation)
            self.steps.append((operation, node["inputs"]))

    def forward(self, images):
        values = []
        for operation, inputs in self.steps:
            values.append(operation(*(values[i] for i in inputs)) if inputs else images)
        return [values[i] for i in self.outputs]

    def image(self, settings, _):
        return None

    def convolution(self, c, _):
        return nn.Conv2d(c["inputChannels"], c["outputChannels"], c["kernel"], c["stride"], c["padding"],
                         groups=c["groups"], bias=c["hasBias"])

    def batchNorm(self, b, _):
        return nn.BatchNorm2d(b["channels"], b["epsilon"], b["momentum"])

    def activation(self, name, is_only_reader):
        """In place, as YOLOv5 has it, where nobody else reads the input."""
        return {"silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6, "hardSwish": nn.Hardswish,
                "hardSigmoid": nn.Hardsigmoid}[name](is_only_reader)

    def linear(self, l, _):
        layer = nn.Linear(l["inputCount"], l["outputCount"], l["hasBias"])
        return nn.Sequential(nn.Flatten(), layer, nn.Unflatten(1, (l["outputCount"], 1, 1)))

    def maxPool(self, p, _):
        return nn.MaxPool2d(p["kernel"], p["stride"], p["padding"])

    def averagePool(self, p, _):
        return nn.AvgPool2d(p["kernel"], p["stride"], p["padding"])

    def globalAveragePool(self, settings, _):
        return nn.AdaptiveAvgPool2d(1)

    def upsample(self, settings, _):
        return nn.Upsample(scale_factor=settings["factor"], mode="nearest")

    def add(self, settings, _):
        return lambda first, *others: sum(others, first)

    def concat(self, settings, _):
        return lambda *maps: torch.cat(maps, 1)

    def scale(self, settings, _):
        return lambda x, factor: x * factor

    def slice(self, settings, _):
        return lambda x: x[:, settings["start"]:settings["start"] + settings["count"]]

    def shuffle(self, settings, _):
        return nn.ChannelShuffle(settings["groups"])


def read_network(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return json.loads(header["__metadata__"]["network"])


def time_steps(options):
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    network = read_network(options.steps_of)
    model = Graph(network).to(memory_format=FORMATS[options.format]).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, nesterov=True)
    images = torch.randint(0, 256, (options.batch, 3, options.image_size, options.image_size), dtype=torch.uint8)
    seconds = []
    for step in range(-WARM_UP, options.steps):
        start = time.perf_counter()
        maps = model(images.to(memory_format=FORMATS[options.format]).float() / 255)
        loss = sum(map.square().mean() for map in maps)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step >= 0:
            seconds.append(time.perf_counter() - start)
    detect = network["detect"]
    for map, stride, anchors in zip(maps, detect["strides"], detect["anchors"]):
        side = options.image_size // stride
        assert map.shape == (options.batch, len(anchors) * (5 + detect["classCount"]), side, side), map.shape
    print(json.dumps({
        "images_per_second": options.batch / statistics.median(seconds),
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


# ------------------------------------------------------------------------------------------------------ Side by side

def run(words):
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(name, options):
    path = os.path.join(options.work, f"{name}.safetensors")
    run([options.binary, "import", name, "--nc", 14, "-o", path, "--json"])
    size = ["--image-size", options.image_size, "--batch", options.batch, "--threads", options.threads]
    commands = {"greensweep": [options.binary, "bench", "train", "--model", path, "--repeats", options.steps, "--json"]}
    for format in FORMATS:
        commands[format] = [sys.executable, __file__, "--steps-of", path, "--format", format, "--steps", options.steps]
    runs = {side: [] for side in commands}
    for _ in range(options.rounds):
        for side, command in commands.items():
            runs[side].append(run(command + size))
    parameters = {side: results[0]["parameters"] for side, results in runs.items()}
    if len(set(parameters.values())) > 1:
        sys.exit(f"{name} is not the same network on both sides: {parameters} parameters")
    figures = {side: {key: statistics.median(result[key] for result in results)
                      for key in ("images_per_second", "peak_memory_mb")} for side, results in runs.items()}
    ours, theirs = figures["greensweep"], [figures[format] for format in FORMATS]
    best = max(theirs, key=lambda side: side["images_per_second"])
    print(f"{name:18} {ours['images_per_second']:8.1f} " + " ".join(f"{side['images_per_second']:13.1f}" for side in theirs)
          + f" {ours['images_per_second'] / best['images_per_second']:6.2f} | {ours['peak_memory_mb']:8.0f} "
          + " ".join(f"{side['peak_memory_mb']:13.0f}" for side in theirs), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench-pytorch.sh")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=7)
    for hidden in ("--binary", "--work", "--steps-of", "--format"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("networks", nargs="*", default=["yolov5s", "mobilenetv2"])
    options = parser.parse_args()
    if options.steps_of:
        return time_steps(options)
    print(f"PyTorch {torch.__version__}; {options.image_size} pixels, batch {options.batch}, {options.threads} threads")
    sides = f"{'ours':>8} " + " ".join(f"{format:>13}" for format in FORMATS)
    print(f"{'images/s, MB':18} {sides} {'ratio':>6} | {sides}")
    for name in options.networks:
        compare(name, options)


main()
