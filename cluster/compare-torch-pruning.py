"""The work of compare-torch-pruning.sh, which see.

YOLOv5's training runs as it is, but for what it is handed: the cut network in place of one from a model file, and ours
in place of its validation (its suppression stops at a time limit, and so depends on how busy the machine is)."""
import argparse
import copy
import csv
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from unittest import mock

# YOLOv5 keeps whole networks in its files, and draws a progress bar for each epoch.
os.environ |= {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "TQDM_DISABLE": "1"}

import safetensors
import safetensors.torch
import torch
import yaml
from torch import nn

from pytorch_graph import Graph, read_network

with mock.patch("torch.library.register_fake", lambda *_, **__: lambda function: function):
    import torchvision  # Its compiled part may not fit PyTorch's build; nothing here uses it.
for name in ("ultralytics", "ultralytics.utils", "ultralytics.utils.checks", "yolov5.utils.roboflow"):
    sys.modules[name] = mock.MagicMock()  # YOLOv5 imports them for installing packages and for a service.
import yolov5.train
import yolov5.utils.general
from torch_pruning import importance, pruner
from yolov5.utils.dataloaders import create_dataloader
from yolov5.utils.loss import ComputeLoss

# Epochs of training, of fading and of fine-tuning in the sweeps that ours is measured by.
FAMILIES = {"yolov5n": (20, 10, 20), "mobilenetv2": (40, 15, 25)}
RATIOS = (0.5, 0.7)
SEEDS = (0, 1, 2)
# GrowingReg's networks are trained with its penalty (at the strength of Torch-Pruning's own experiments) for as many
# epochs as ours fade, and fine-tuned for as many fewer.
METHODS = {"BNScale": importance.BNScaleImportance, "GroupNorm": lambda: importance.GroupMagnitudeImportance(p=2),
           "GroupTaylor": importance.GroupTaylorImportance,
           "GrowingReg": lambda: importance.GroupMagnitudeImportance(p=2)}
VARIANTS = [f"{method}-{scope}" for method in METHODS for scope in ("global", "local")]
PENALTY = {"reg": 5e-4, "delta_reg": 1e-4}
BISECTIONS = 12
MEASURED_SHARE = 1 / 3
YOLOV5 = os.path.dirname(yolov5.train.__file__)


# ------------------------------------------------------------------------------------------- The network on both sides

class Head(nn.Module):
    """What YOLOv5's loss and loop ask of a network's last module: the raw maps as N×anchors×H×W×(5 + classes)."""

    def __init__(self, detect):
        super().__init__()
        self.nc, self.nl, self.na = detect["classCount"], len(detect["anchors"]), len(detect["anchors"][0])
        self.stride = torch.tensor(detect["strides"]).float()
        anchors = torch.tensor([[[a["width"], a["height"]] for a in level] for level in detect["anchors"]]).float()
        self.register_buffer("anchors", anchors / self.stride.view(-1, 1, 1))

    def forward(self, maps):
        return [map.view(map.shape[0], self.na, 5 + self.nc, *map.shape[2:]).permute(0, 1, 3, 4, 2).contiguous()
                for map in maps]


class Detector(nn.Module):
    """The network of a model file, with its weights."""

    def __init__(self, path):
        super().__init__()
        self.network = read_network(path)
        self.graph = Graph(self.network)
        self.model = nn.ModuleList([Head(self.network["detect"])])
        self.stride, self.yaml, self.names = self.model[-1].stride, {}, {}
        with safetensors.safe_open(path, "pt") as file:
            self.metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        for name, layer in self.named_layers():
            layer.load_state_dict({key: tensors.pop(f"{name}.{key}") for key in layer.state_dict()})
        self.other_tensors = tensors

    def forward(self, images):
        return self.model[-1](self.graph(images))

    def named_layers(self):
        for node, (operation, _) in zip(self.network["nodes"], self.graph.steps):
            if isinstance(operation, nn.Module) and operation.state_dict():
                yield node["name"], operation

    def parameter_count(self):
        return sum(parameter.numel() for parameter in self.parameters())

    def save(self, path):
        """Writes the network as it is now, after a cut too, as a model file of Greensweep's."""
        network = copy.deepcopy(self.network)
        operations = {node["name"]: node["operation"] for node in network["nodes"]}
        tensors = dict(self.other_tensors)
        for name, layer in self.named_layers():
            tensors |= {f"{name}.{key}": value.detach().contiguous() for key, value in layer.state_dict().items()}
            if isinstance(layer, nn.Conv2d):
                operations[name]["convolution"]["_0"] |= {
                    "inputChannels": layer.in_channels, "outputChannels": layer.out_channels, "groups": layer.groups}
            else:
                operations[name]["batchNorm"]["_0"]["channels"] = layer.num_features
        os.makedirs(os.path.dirname(path), exist_ok=True)
        safetensors.torch.save_file(tensors, path, self.metadata | {"network": json.dumps(network)})


# ------------------------------------------------------------------------------------------------------------ Ours

class Ours:
    def __init__(self, options, data):
        self.options, self.data = options, data

    def __call__(self, command, *words, size=True):
        words = [self.options.binary, command, *map(str, words), "--json", "--threads", str(self.options.threads)]
        done = subprocess.run(words + (["--image-size", str(self.options.image_size)] if size else []),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stderr}")
        return json.loads(done.stdout.splitlines()[-1])

    def val(self, model):
        figures = self("val", model, self.data)
        return {key: figures[key] for key in ("map50", "map50_95", "parameters")}

    def train(self, folder, model, epochs, seed, *words):
        """Trains into a folder, going on where an interrupted run stopped; returns the model file."""
        result = os.path.join(folder, "model.safetensors")
        checkpoint = os.path.join(folder, "checkpoint.safetensors")
        if os.path.exists(checkpoint):
            words += ("--resume",)
        elif os.path.exists(result):
            return result
        else:
            shutil.rmtree(folder, ignore_errors=True)
        self("train", self.data, "--model", model, "--epochs", epochs, "--seed", seed, "--recipe", "auto", "-o", folder,
             *words)
        return result

    def difference(self, detector, model, scratch):
        """The greatest difference between the two programs' raw maps, on one input."""
        sample = scratch + "sample.safetensors"
        self("export", model, "--raw-head", "--sample", sample, "-o", scratch + "sample.onnx")
        tensors = safetensors.torch.load_file(sample)
        detector.eval()
        with torch.no_grad():
            maps = detector(tensors["images"])
        return max((map - tensors[f"head{level}"]).abs().max().item() for level, map in enumerate(maps))


# ---------------------------------------------------------------------------------------------------------- Theirs

def hyp():
    with open(os.path.join(YOLOV5, "data/hyps/hyp.scratch-low.yaml")) as file:
        return yaml.safe_load(file)


def add_gradients(detector, options, data):
    """Gradients of YOLOv5's loss summed over the training images as they are, for GroupTaylor."""
    settings = hyp()
    settings["cls"] *= detector.model[-1].nc / 80
    settings["obj"] *= (options.image_size / 640) ** 2
    detector.hyp = settings
    loss = ComputeLoss(detector)
    detector.eval()
    train = os.path.join(os.path.dirname(data), yaml.safe_load(open(data))["train"])
    for images, targets, _, _ in create_dataloader(train, options.image_size, 16, 32, hyp=settings, workers=0)[0]:
        loss(detector(images.float() / 255), targets)[0].backward()


def make_pruner(detector, variant, ratio, options):
    method, scope = variant.split("-")
    head = [detector.graph.steps[output][0] for output in detector.graph.outputs]
    kind, more = (pruner.GrowingRegPruner, PENALTY) if method == "GrowingReg" else (pruner.BasePruner, {})
    detector.eval()
    return kind(detector.graph, torch.zeros(1, 3, options.image_size, options.image_size), METHODS[method](),
                global_pruning=scope == "global", pruning_ratio=ratio, max_pruning_ratio=0.9, ignored_layers=head,
                **more)


def cut(detector, variant, target, options):
    """The network cut to as many parameters as the target, as nearly as a ratio can."""
    low, high, best = 0.0, 1.0, None
    for _ in range(BISECTIONS):
        ratio = (low + high) / 2
        smaller = copy.deepcopy(detector)
        for copied, parameter in zip(smaller.parameters(), detector.parameters()):
            copied.grad = parameter.grad  # which a copy leaves out; a cut makes new ones
        make_pruner(smaller, variant, ratio, options).step()
        count = smaller.parameter_count()
        if best is None or abs(count - target) < abs(best[0] - target):
            best = (count, ratio, smaller)
        low, high = (ratio, high) if count > target else (low, ratio)
    return best[2], best[1]


def train_yolov5(detector, epochs, seed, folder, options, ours, data, penalised=False):
    """Runs YOLOv5's own loop with its own settings. Its validation is ours, in the last third of the epochs, and picks
    the best of them as YOLOv5 does. Leaves that network in the detector; returns its epoch and the seconds used."""
    measured = []
    network = copy.deepcopy(detector).to(memory_format=torch.channels_last)  # which is the faster one
    growing = make_pruner(network, "GrowingReg-global", 0, options) if penalised else None
    make_optimizer = yolov5.train.smart_optimizer

    def smart_optimizer(*arguments):
        optimizer = make_optimizer(*arguments)
        if growing:
            optimizer.register_step_pre_hook(lambda *_: growing.regularize(network.graph))
        return optimizer

    def validate(*_, model=None, **__):
        """Returns precision, recall, both mAPs and three losses, both mAPs by class, and times."""
        if growing:
            growing.update_reg()
        figures = {"map50": 0, "map50_95": 0}
        if model and len(measured) < epochs:
            if len(measured) >= epochs * (1 - MEASURED_SHARE):
                model.save(os.path.join(folder, "epoch.safetensors"))
                figures = ours.val(os.path.join(folder, "epoch.safetensors"))
            measured.append(figures)
            print(f"  epoch {len(measured)}/{epochs} {figures['map50']:.3f} {figures['map50_95']:.3f}", flush=True)
        by_class = [0] * network.model[-1].nc
        return (0, 0, figures["map50"], figures["map50_95"], 0, 0, 0), by_class, by_class, ()

    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    weights = os.path.join(folder, "start.pt")
    torch.save({"model": network}, weights)
    start = processor_seconds()
    with mock.patch.multiple(yolov5.train, Model=lambda *_, **__: network, smart_optimizer=smart_optimizer,
                             attempt_load=lambda *_: network, attempt_download_from_hub=lambda *_, **__: None), \
            mock.patch.object(yolov5.train.validate, "run", validate), \
            mock.patch.object(yolov5.utils.general, "check_font"), \
            mock.patch.object(sys, "argv", sys.argv[:1]):
        yolov5.train.run(data=data, weights=weights, imgsz=options.image_size, epochs=epochs, seed=seed, device="cpu",
                         workers=0, project=folder, name="run", exist_ok=True, noplots=True, noautoanchor=True)
    best = torch.load(os.path.join(folder, "run/weights/best.pt"), map_location="cpu")
    detector.load_state_dict(best["model"].float().state_dict())
    epoch = max(range(epochs), key=lambda index: 0.1 * measured[index]["map50"] + 0.9 * measured[index]["map50_95"])
    return {"epoch": epoch + 1, "seconds": processor_seconds() - start}


def processor_seconds():
    """What this process and those that it waited for have used."""
    return sum(os.times()[:4])


# ----------------------------------------------------------------------------------------------------------- Cells

class Comparison:
    """The cells of the comparison. Each is measured once and then stands in a file of its own."""

    def __init__(self, options):
        self.options = options
        self.data = self.link_data()
        self.ours = Ours(options, self.data)
        self.done = {}
        for name in os.listdir(self.folder("cells")):
            with open(self.path("cells", name)) as file:
                self.done[name.removesuffix(".json")] = json.load(file)

    def path(self, *names):
        return os.path.join(self.options.work, *names)

    def folder(self, name):
        os.makedirs(self.path(name), exist_ok=True)
        return self.path(name)

    def link_data(self):
        """YOLOv5 writes beside the labels that it reads, so it gets a folder of links."""
        folder = os.path.abspath(self.path("data"))
        if not os.path.exists(folder):
            shutil.copytree(os.path.dirname(os.path.abspath(self.options.data)), folder, copy_function=os.symlink)
        path = os.path.join(folder, "linked.yaml")
        with open(self.options.data) as file:
            data = yaml.safe_load(file)
        with open(path, "w") as file:
            yaml.safe_dump(data | {"path": folder}, file)
        return path

    def plan(self):
        """The names of all cells, as far as they can be known now, the most telling first."""
        o = self.options
        first = o.seeds[0]
        ratio = o.ratios[0]
        penalised = [variant for variant in VARIANTS if variant.startswith("GrowingReg")]
        plain = [variant for variant in VARIANTS if variant not in penalised]
        for family in o.families:
            yield from (f"{family} {first} {ratio} ours" for ratio in o.ratios)
            yield from (f"{family} {first} {ratio} {variant} cut" for ratio in o.ratios for variant in plain)
        for family in o.families:
            cuts = self.ranked(plain, f"{family} {first} {ratio}", "cut")
            yield from (f"{family} {first} {ratio} {cuts[0]} {program}" for program in ("yolov5", "auto"))
            yield from (f"{family} {first} {ratio} {variant} yolov5" for variant in cuts)
            yield from (f"{family} {first} {ratio} {variant} cut" for ratio in o.ratios for variant in penalised)
            yield from (f"{family} {first} {ratio} {variant} yolov5" for variant in penalised)
            best = self.ranked(VARIANTS, f"{family} {first} {ratio}", "yolov5")[:2]
            for seed in o.seeds:
                for each in o.ratios:
                    yield f"{family} {seed} {each} ours"
                    for variant in best:
                        yield from (f"{family} {seed} {each} {variant} {step}" for step in ("cut", "yolov5", "auto"))

    def ranked(self, variants, place, step):
        """The variants with the highest mAP50-95 first."""
        return sorted(variants, reverse=True,
                      key=lambda variant: self.done.get(f"{place} {variant} {step}", {"map50_95": 0})["map50_95"])

    def run(self):
        while True:
            self.write_table()
            names = list(dict.fromkeys(self.plan()))
            left = [name for name in names if name not in self.done]
            if not left:
                break
            print(f"{len(names) - len(left)} of {len(names)} cells done; next: {left[0]}", flush=True)
            start = time.perf_counter()
            self.measure(left[0])
            print(f"  {json.dumps(self.done[left[0]])} after {time.perf_counter() - start:.0f} s", flush=True)

    def measure(self, name):
        family, seed, ratio, side, *step = name.split()
        seed, ratio = int(seed), float(ratio)
        if side == "ours":
            figures = self.measure_ours(family, seed, ratio)
        elif step == ["cut"]:
            figures = self.measure_cut(family, seed, ratio, side)
        else:
            figures = self.fine_tune(family, seed, ratio, side, step[0])
        with open(self.path("cells", name + ".new"), "w") as file:
            json.dump(figures, file)
        os.replace(self.path("cells", name + ".new"), self.path("cells", name + ".json"))
        self.done[name] = figures

    def parent(self, family, seed):
        """The network after the train stage, which is the same in both methods."""
        words = ("--weights", self.options.weights) if family == "yolov5n" else ()
        return self.ours.train(self.path("parents", f"{family}-{seed}"), family, FAMILIES[family][0], seed, *words)

    def measure_ours(self, family, seed, ratio):
        for path in self.options.results:
            with open(path) as file:
                for row in csv.DictReader(file):
                    if (row["backbone"], int(row["seed"]), float(row["prune_ratio"])) == (family, seed, ratio):
                        if row["state"] == "done":
                            return {key: float(row[key]) for key in ("map50", "map50_95", "map50_cut", "parameters")}
        _, fading, tuning = FAMILIES[family]
        folder = self.path("ours", f"{family}-{seed}-{ratio}")
        parent = self.parent(family, seed)
        start = self.start(folder + "-faded")
        faded = self.ours.train(folder + "-faded", parent, fading, seed, "--sparsify-target", ratio)
        pruned = folder + "-pruned.safetensors"
        self.ours("prune", faded, "--policy", "gradual", "-o", pruned)
        tuned = self.ours.train(folder + "-tuned", pruned, tuning, seed)
        cut_figures = self.ours.val(pruned)
        return self.ours.val(tuned) | {"map50_cut": cut_figures["map50"]} | self.since(start)

    def start(self, folder):
        """The processor's seconds now, or nothing if an interrupted run goes on, whose first part nobody counted."""
        return None if os.path.exists(folder) else processor_seconds()

    def since(self, start):
        return {} if start is None else {"seconds": processor_seconds() - start}

    def measure_cut(self, family, seed, ratio, variant):
        detector = Detector(self.parent(family, seed))
        if variant.startswith("GrowingReg"):
            detector = self.penalised(family, seed)
        if variant.startswith("GroupTaylor"):
            add_gradients(detector, self.options, self.data)
        target = self.done[f"{family} {seed} {ratio} ours"]["parameters"]
        smaller, cut_ratio = cut(detector, variant, target, self.options)
        model = self.model(family, seed, ratio, variant)
        smaller.save(model)
        difference = self.ours.difference(smaller, model, self.path("scratch-"))
        return self.ours.val(model) | {"ratio": cut_ratio, "difference": difference}

    def penalised(self, family, seed):
        """The parent after epochs with GrowingReg's penalty."""
        path = self.path("penalised", f"{family}-{seed}.safetensors")
        if not os.path.exists(path):
            detector = Detector(self.parent(family, seed))
            train_yolov5(detector, FAMILIES[family][1], seed, self.path("penalised-run"), self.options, self.ours,
                         self.data, penalised=True)
            detector.save(path)
        return Detector(path)

    def model(self, family, seed, ratio, variant):
        return self.path("cut", f"{family}-{seed}-{ratio}-{variant}.safetensors")

    def fine_tune(self, family, seed, ratio, variant, program):
        """Fine-tunes a cut network, with YOLOv5's loop or with ours."""
        _, fading, tuning = FAMILIES[family]
        epochs = tuning if variant.startswith("GrowingReg") else fading + tuning
        model = self.model(family, seed, ratio, variant)
        folder = self.path("tuned", f"{family}-{seed}-{ratio}-{variant}-{program}")
        if program == "auto":
            start = self.start(folder)
            tuned = self.ours.train(folder, model, epochs, seed)
            return self.ours.val(tuned) | self.since(start)
        detector = Detector(model)
        figures = train_yolov5(detector, epochs, seed, folder, self.options, self.ours, self.data)
        detector.save(os.path.join(folder, "model.safetensors"))
        return self.ours.val(os.path.join(folder, "model.safetensors")) | figures

    # ------------------------------------------------------------------------------------------------------- Table

    def write_table(self):
        lines = ["| network | ratio | method | seeds | parameters | mAP50 after the cut | mAP50 | mAP50-95 "
                 "| processor s | with `recipe: auto` | processor s |",
                 "| :-- | --: | :-- | --: | --: | --: | --: | --: | --: | --: | --: |"]
        for family in self.options.families:
            for ratio in self.options.ratios:
                for side in ["ours", *VARIANTS]:
                    lines += self.row(family, ratio, side)
        with open(self.path("table.md"), "w") as file:
            file.write("\n".join(lines) + "\n")

    def row(self, family, ratio, side):
        steps = [""] if side == "ours" else [" cut", " yolov5", " auto"]
        cells = [[self.done[name] for seed in self.options.seeds
                  if (name := f"{family} {seed} {ratio} {side}{step}") in self.done] for step in steps]
        if not cells[0]:
            return []

        def median(cells, *keys, digits=3):
            values = [[cell[key] for cell in cells if key in cell] for key in keys]
            return " / ".join(f"{statistics.median(value):,.{digits}f}" for value in values if value)

        def figures(cells):
            return [median(cells, "map50"), median(cells, "map50_95"), median(cells, "seconds", digits=0)]

        counts = median(cells[0], "parameters", digits=0)
        if side == "ours":
            columns = [median(cells[0], "map50_cut"), *figures(cells[0]), "", ""]
        else:
            columns = [median(cells[0], "map50"), *figures(cells[1]), median(cells[2], "map50", "map50_95"),
                       median(cells[2], "seconds", digits=0)]
        seeds = len(cells[0]) if side == "ours" else f"{len(cells[0])}, {len(cells[1])}"
        words = [family, f"{ratio}", side.replace("-", ", "), str(seeds), counts, *columns]
        return ["| " + " | ".join(words) + " |"]


def main():
    parser = argparse.ArgumentParser(prog="compare-torch-pruning.sh")
    parser.add_argument("data", help="a YOLOv5 data set's .yaml file")
    parser.add_argument("--weights", required=True, help="yolov5n.pt")
    parser.add_argument("--results", action="append", default=[], help="a finished sweep's CSV, for our side")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--ratios", nargs="+", type=float, default=RATIOS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", nargs=3, type=int, help="of training, fading and fine-tuning, to try the script")
    for hidden in ("--binary", "--work"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.epochs:
        FAMILIES.update(dict.fromkeys(FAMILIES, options.epochs))
    logging.getLogger("yolov5").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", FutureWarning)
    torch.set_num_threads(options.threads)
    print(f"PyTorch {torch.__version__}, Torch-Pruning {version('torch-pruning')}, {options.threads} threads")
    Comparison(options).run()


main()
