"""The work of bench-pytorch.sh, which see."""
import argparse
import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import torch

from pytorch_graph import Graph, read_network

WARM_UP = 2
FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
FLOAT32, BFLOAT16 = ["contiguous", "channels last"], ["bf16 autocast", "bf16 compiled"]


def time_steps(options):
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    network = read_network(options.steps_of)
    is_bfloat16 = options.mode in BFLOAT16
    format = FORMATS.get(options.mode, torch.channels_last)
    model = Graph(network).to(memory_format=format).train()
    step_model = torch.compile(model) if options.mode == "bf16 compiled" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, nesterov=True)
    images = torch.randint(0, 256, (options.batch, 3, options.image_size, options.image_size), dtype=torch.uint8)
    seconds = []
    for step in range(-WARM_UP, options.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if is_bfloat16 else contextlib.nullcontext():
            maps = step_model(images.to(memory_format=format).float() / 255)
        loss = sum(map.float().square().mean() for map in maps)
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
    commands = {}
    for precision in ("float32", "bfloat16"):
        commands[precision] = [options.binary, "bench", "train", "--model", path, "--repeats", options.steps,
                               "--precision", precision, "--json"]
    for mode in options.modes:
        commands[mode] = [sys.executable, __file__, "--steps-of", path, "--mode", mode, "--steps", options.steps]
    runs = {side: [] for side in commands}
    for _ in range(options.rounds):
        for side, command in commands.items():
            runs[side].append(run(command + size))
    parameters = {side: results[0]["parameters"] for side, results in runs.items()}
    if len(set(parameters.values())) > 1:
        sys.exit(f"{name} is not the same network on both sides: {parameters} parameters")

    def median(side, key):
        return statistics.median(result[key] for result in runs[side])

    speed = {side: median(side, "images_per_second") for side in commands}
    ratios = [speed["float32"] / max(speed[mode] for mode in FLOAT32),
              speed["bfloat16"] / max(speed[mode] for mode in options.modes), speed["bfloat16"] / speed["float32"]]
    print(f"{name:18} " + " ".join(f"{speed[side]:13.1f}" for side in commands) + " | "
          + " ".join(f"{ratio:6.2f}" for ratio in ratios) + " | "
          + " ".join(f"{median(side, 'peak_memory_mb'):13.0f}" for side in commands), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench-pytorch.sh")
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--compiled", action="store_true")
    for hidden in ("--binary", "--work", "--steps-of", "--mode"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("networks", nargs="*", default=["yolov5s", "mobilenetv2"])
    options = parser.parse_args()
    if options.steps_of:
        return time_steps(options)
    print(f"PyTorch {torch.__version__}; {options.image_size} pixels, batch {options.batch}, {options.threads} threads")
    options.modes = FLOAT32 + (BFLOAT16 if options.compiled else BFLOAT16[:1])
    sides = " ".join(f"{side:>13}" for side in ["float32", "bfloat16"] + options.modes)
    print("images/s | float32 to the faster float32, bfloat16 to the fastest, bfloat16 to float32 | peak MB")
    print(f"{'':18} {sides} | {'f32':>6} {'bf16':>6} {'gain':>6} | {sides}")
    for name in options.networks:
        compare(name, options)


main()
