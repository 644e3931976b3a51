#!/usr/bin/env python3
"""Train the example's two Fashion-MNIST classifiers and write them as ONNX.

    train.py [--out models] [--data /usr/share/datasets/fashion-mnist] [--only light heavy]

Needs NumPy and PyTorch (Debian's python3-torch with libopenblas0-pthread is enough) and the
Fashion-MNIST files of Debian's dataset-fashion-mnist. The two models are trained side by side, one
thread each, so that the result does not depend on how busy the machine is.

The 60,000 training images are shuffled with a fixed seed and split into 55,000 to train on and 5,000 to
calibrate the gate's threshold with (calibrate.py). The 10,000 test images are never read here.

The ONNX files take "pixels", float32 [N,784] holding the raw bytes 0..255 (scaling is part of the
graph), and return "logits", float32 [N,10].
"""
import argparse
import gzip
import os
import random
import subprocess
import sys
import time

# Before NumPy and PyTorch are loaded, as their BLAS counts its threads then. With several it sums in another
# order, and each machine would make other models.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

SEED = 20261124
MEAN, STD = 0.2860, 0.3530  # of the training pixels divided by 255


def read_idx(path):
    """One gzipped IDX file as an array of bytes."""
    with gzip.open(path) as f:
        raw = f.read()
    dims = raw[3]
    shape = [int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(dims)]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def load(data, part):
    """(pixels uint8 [N,784], labels int64 [N]) of a part: train, calibrate or test."""
    name = "t10k" if part == "test" else "train"
    x = read_idx(f"{data}/{name}-images-idx3-ubyte.gz").reshape(-1, 784)
    y = read_idx(f"{data}/{name}-labels-idx1-ubyte.gz").astype(np.int64)
    if part == "test":
        return x, y
    order = np.random.RandomState(SEED).permutation(len(x))
    rows = order[:55000] if part == "train" else order[55000:]
    return x[rows], y[rows]


def networks():
    """The builders, their epochs and peak learning rates. Imported late: calibrate.py needs no PyTorch."""
    import torch.nn as nn

    def conv(i, o, stride=1):
        return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())

    class Residual(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.a, self.b = conv(c, c), conv(c, c)

        def forward(self, x):
            return x + self.b(self.a(x))

    class Image(nn.Module):
        """Raw pixels -> standardised [N,1,28,28] -> logits."""

        def __init__(self, *layers):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x):
            return self.layers((x * (1 / (255 * STD)) - MEAN / STD).view(-1, 1, 28, 28))

    def light():  # 1.1 M multiply-adds
        return Image(conv(1, 12, 2), conv(12, 24), nn.MaxPool2d(2), conv(24, 48), nn.Flatten(), nn.Linear(48 * 49, 10))

    def heavy():  # 21 M multiply-adds
        return Image(conv(1, 32), nn.MaxPool2d(2), conv(32, 48), Residual(48), nn.MaxPool2d(2),
                     conv(48, 96), Residual(96), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))

    return {"light": (light, 20, 6e-3), "heavy": (heavy, 18, 4e-3)}


def augment(x, rng):
    """A random mirror image for each, and one shift of up to 2 pixels for the batch."""
    import torch
    import torch.nn.functional as F
    n = len(x)
    x = x.view(n, 28, 28)
    mirrored = torch.from_numpy(rng.rand(n) < 0.5)
    x = torch.where(mirrored[:, None, None], x.flip(2), x)
    dy, dx = rng.randint(-2, 3, 2)
    return F.pad(x, (2, 2, 2, 2))[:, 2 + dy:30 + dy, 2 + dx:30 + dx].reshape(n, 784)


def train(name, args):
    """Train one network and write OUT/NAME.onnx."""
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    random.seed(SEED), np.random.seed(SEED), torch.manual_seed(SEED)
    build, epochs, rate = networks()[name]
    epochs = args.epochs or epochs
    x, y = (torch.from_numpy(a[:args.rows].copy()) for a in load(args.data, "train"))
    net, rng, size = build(), np.random.RandomState(SEED), 128
    per_epoch = len(x) // size
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * per_epoch, pct_start=0.2)
    start = time.time()
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for rows in rng.permutation(len(x))[:per_epoch * size].reshape(-1, size):
            loss = F.cross_entropy(net(augment(x[rows].float(), rng)), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step(), schedule.step()
            total += loss.item()
        print(f"{name}: epoch {epoch + 1}/{epochs}, loss {total / per_epoch:.4f}, {time.time() - start:.0f} s", flush=True)
    torch.onnx.export(net.eval(), torch.zeros(2, 784), f"{args.out}/{name}.onnx", opset_version=15,
                      input_names=["pixels"], output_names=["logits"],
                      dynamic_axes={"pixels": {0: "N"}, "logits": {0: "N"}})
    print(f"{name}: wrote {args.out}/{name}.onnx", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "models"))
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    p.add_argument("--only", nargs="*", default=["heavy", "light"])
    p.add_argument("--epochs", type=int, help="instead of each network's own number")
    p.add_argument("--rows", type=int, help="train on so many images only, as a smoke test")
    args = p.parse_args()
    os.makedirs(args.out, exist_ok=True)
    if len(args.only) == 1:
        return train(args.only[0], args)
    common = [a for a in sys.argv[1:] if a not in args.only and a != "--only"]
    children = [subprocess.Popen([sys.executable, os.path.abspath(__file__), *common, "--only", n]) for n in args.only]
    return max(c.wait() for c in children)


if __name__ == "__main__":
    sys.exit(main())
