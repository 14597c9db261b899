"""The work of check-backbones.sh, which see."""
import argparse
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

IMAGE_SIZE = 128
TOLERANCE = 1e-4
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


# ------------------------------------------------------------------------------------------------------------ Networks

def torchvision_layers(model):
    return list(model.features)[:-1]


def timm_layers(model):
    blocks = [block for stage in model.blocks for block in stage if hasattr(block, "conv_dw")]
    return [nn.Sequential(model.conv_stem, model.bn1)] + blocks


def shuffle_layers(model):
    stages = [model.stage2, model.stage3, model.stage4]
    return [nn.Sequential(model.conv1, model.maxpool)] + [
        part for stage in stages for part in (stage[0], nn.Sequential(*list(stage)[1:]))]


def mobilenetv1_layers(model):
    layers = timm_layers(model)
    return layers[:7] + [nn.Sequential(*layers[7:12])] + layers[12:]


def silu_stem(model, start):
    if hasattr(model, "features"):
        model.features[0][2] = nn.SiLU()
    else:
        model.bn1.act = nn.SiLU()


def relu(model, start):
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.ReLU())


def fitted(conv, start, name):
    """A convolution of squeeze-excite with the weights that the network here has: its width may be another one."""
    weight = start[f"{name}.weight"][:, :, None, None]
    result = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    result.load_state_dict({"weight": weight, "bias": start[f"{name}.bias"]})
    return result if conv.weight.shape != weight.shape else conv


def squeeze_first(model, start):
    """Squeeze-excite before the activation, where a block expands."""
    is_torchvision = hasattr(model, "features")
    layers = torchvision_layers(model) if is_torchvision else timm_layers(model)
    for index, layer in enumerate(layers[1:], 1):
        parts = layer.block if is_torchvision else layer
        if is_torchvision:
            place = next((i for i, part in enumerate(parts) if hasattr(part, "fc1")), None)
            squeeze, names = (None, None) if place is None else (parts[place], ("fc1", "fc2"))
            expands = len(parts) == (3 if place is None else 4)
        else:
            expands = hasattr(parts, "conv_pwl")
            squeeze, names = (parts.se, ("conv_reduce", "conv_expand")) if hasattr(parts.se, "gate") else (None, None)
        if squeeze is None:
            continue
        path = f"model.{index}.conv.{5 if expands else 3}.fc"
        for name, here in zip(names, (0, 2)):
            setattr(squeeze, name, fitted(getattr(squeeze, name), start, f"{path}.{here}"))
        if not expands:
            continue
        if is_torchvision:
            activation, parts[place - 1][2] = parts[place - 1][2], nn.Identity()
            parts[place] = nn.Sequential(squeeze, activation)
        else:
            activation, parts.bn2.act = parts.bn2.act, nn.Identity()
            parts.se = nn.Sequential(squeeze, activation)


def late_stride(model, start):
    """The last stride of 2 is a block later here."""
    squeeze_first(model, start)
    if hasattr(model, "features"):
        early, late = model.features[13], model.features[14]
        early.block[1][0].stride, late.block[1][0].stride = (1, 1), (2, 2)
        late.use_res_connect = False
    else:
        early, late = model.blocks[5][0], model.blocks[5][1]
        early.conv_dw.stride, late.conv_dw.stride = (1, 1), (2, 2)
        late.has_skip = False


def nothing(model, start):
    pass


# name: family, builder, layers, changes that make it compute as here, how many layers agree as they are, mean and
# deviation of its images
NETWORKS = {
    "mobilenet_v2": ("mobilenetv2", torchvision.models.mobilenet_v2, torchvision_layers, silu_stem, 0, IMAGENET),
    "mobilenetv2_100": ("mobilenetv2", None, timm_layers, silu_stem, 0, IMAGENET),
    "mobilenet_v3_small": (
        "mobilenetv3-small", torchvision.models.mobilenet_v3_small, torchvision_layers, squeeze_first, 1, IMAGENET),
    "mobilenetv3_small_100": ("mobilenetv3-small", None, timm_layers, squeeze_first, 1, IMAGENET),
    "mobilenet_v3_large": (
        "mobilenetv3-large", torchvision.models.mobilenet_v3_large, torchvision_layers, late_stride, 4, IMAGENET),
    "mobilenetv3_large_100": ("mobilenetv3-large", None, timm_layers, late_stride, 4, IMAGENET),
    # The published ones have other widths.
    "shufflenet_v2": (
        "shufflenetv2",
        lambda: torchvision.models.ShuffleNetV2([4, 8, 4], [32, 128, 256, 512, 1024]), shuffle_layers, nothing, 7,
        IMAGENET),
    "mobilenetv1_100": ("mobilenetv1", None, mobilenetv1_layers, relu, 0, ((0.5,) * 3, (0.5,) * 3)),
}


def randomize(model):
    """Random weights, and statistics near those of random images: with others, rounding errors grow from layer to
    layer. Some channels hardly vary, where epsilon counts."""
    generator = torch.Generator().manual_seed(1)
    def uniform(shape, low, high):
        return torch.rand(shape, generator=generator) * (high - low) + low
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                bound = (6 / module.weight[0].numel()) ** 0.5
                strength = 10 ** uniform((module.weight.shape[0], 1, 1, 1), -2, 0)
                module.weight.copy_(uniform(module.weight.shape, -bound, bound) * strength)
                if module.bias is not None:
                    module.bias.copy_(uniform(module.bias.shape, -0.1, 0.1))
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(uniform(module.weight.shape, 0.5, 1.5))
                module.bias.copy_(uniform(module.bias.shape, -0.1, 0.1))
                module.momentum = 1
        model.train()(torch.randn((8, 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.mul_(uniform(module.bias.shape, 0.8, 1.2))
                module.running_var.mul_(uniform(module.bias.shape, 0.5, 1.5))
    return model.eval()


# ----------------------------------------------------------------------------------------------------------------- Maps

def greensweep(*words):
    run = subprocess.run([BINARY, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"greensweep {' '.join(map(str, words))}: status {run.returncode}\n{run.stderr}")
    return run.stderr


def maps_here(path, images, count):
    """The output of each of the first layers, as ONNX Runtime computes it."""
    model = onnx.load(path)
    last = {}
    for node in model.graph.node:
        layer = node.output[0].split(".")
        if layer[0] == "model" and len(layer) > 1:
            last[int(layer[1])] = node.output[0]
    for index in range(count):
        model.graph.output.append(onnx.ValueInfoProto(name=last[index]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([last[index] for index in range(count)], {"images": images})


def first_convolution(layers):
    return next(module for module in layers[0].modules() if isinstance(module, nn.Conv2d))


def maps_there(layers, images, normalization, black_border):
    """The same in PyTorch. Around the normalised image stand zeros, which are the mean colour, or black, as here."""
    mean, deviation = (torch.tensor(values)[None, :, None, None] for values in normalization)
    conv = first_convolution(layers)
    padding, maps = conv.padding, []
    map = torch.from_numpy(images)
    with torch.no_grad():
        if black_border:
            map, conv.padding = nn.functional.pad(map, [padding[0]] * 4), (0, 0)
        map = (map - mean) / deviation
        for layer in layers:
            map = layer(map)
            maps.append(map.numpy().copy())
    conv.padding = padding
    return maps


def difference(a, b):
    return np.abs(a - b).max() / np.abs(b).max() if a.shape == b.shape else np.inf


def check(name, folder):
    family, build, layers_of, change, equal_count, normalization = NETWORKS[name]
    model = randomize(build() if build else timm.create_model(name))
    path = f"{folder}/{name}.{'pth' if build else 'safetensors'}"
    if build:
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    start, exported = f"{folder}/start.safetensors", f"{folder}/start.onnx"
    note = greensweep("import", family, "--nc", 3, "--weights", path, "-o", start)
    greensweep("export", start, "-o", exported, "--image-size", IMAGE_SIZE)
    print(note.strip().replace(f"import: {folder}/", ""))

    images = np.random.default_rng(1).random((1, 3, IMAGE_SIZE, IMAGE_SIZE), np.float32)
    layers = layers_of(model)
    here = maps_here(exported, images, len(layers))
    failures = 0

    def report(text, value, passes):
        nonlocal failures
        failures += not passes
        print(f"  {text}: {value}{'' if passes else '  FAILED'}")

    there = maps_there(layers, images, normalization, black_border=True)
    equal = 0
    while equal < len(layers) and difference(here[equal], there[equal]) < TOLERANCE:
        equal += 1
    report("layers that agree with the classifier as it is", f"{equal} of {len(layers)}", equal >= equal_count)
    change(model, load_file(start))
    layers = layers_of(model)
    there = maps_there(layers, images, normalization, black_border=True)
    worst = [difference(a, b) for a, b in zip(here, there)]
    report("worst of all layers, with what differs made the same", f"{max(worst):.1e}",
           all(value < TOLERANCE for value in worst))
    there = maps_there(layers, images, normalization, black_border=False)
    inner, shown = (slice(None), slice(None), slice(2, -2), slice(2, -2)), here[0]
    report("first map, of images in the mean colour rather than in black: inside",
           f"{difference(shown[inner], there[0][inner]):.1e}, with the border {difference(shown, there[0]):.1e}",
           difference(shown[inner], there[0][inner]) < TOLERANCE)
    return failures


parser = argparse.ArgumentParser(prog="check-backbones.sh")
parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
parser.add_argument("--work", required=True, help=argparse.SUPPRESS)
parser.add_argument("networks", nargs="*", choices=[*NETWORKS, []])
arguments = parser.parse_args()
BINARY = arguments.binary
folder = f"{arguments.work}/models"
os.makedirs(folder, exist_ok=True)
failed = sum(check(name, folder) for name in arguments.networks or NETWORKS)
print(f"check-backbones: {'passed' if failed == 0 else f'{failed} failures'}")
sys.exit(failed != 0)
