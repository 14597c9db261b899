"""The network of a Greensweep model file, of PyTorch's own layers: what the comparisons with PyTorch share."""
import functools
import json
import struct

import torch
from torch import nn


def read_network(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return json.loads(header["__metadata__"]["network"])


class Graph(nn.Module):
    """Takes images N×3×H×W and returns the head's raw maps, N×(anchors·(5 + classes))×H×W for each stride."""

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
        return added

    def concat(self, settings, _):
        return concatenated

    def scale(self, settings, _):
        return torch.mul

    def slice(self, settings, _):
        return functools.partial(torch.narrow, dim=1, start=settings["start"], length=settings["count"])

    def shuffle(self, settings, _):
        return nn.ChannelShuffle(settings["groups"])


# Functions with names, so that a network can be pickled.

def added(first, *others):
    return sum(others, first)


def concatenated(*maps):
    return torch.cat(maps, 1)
