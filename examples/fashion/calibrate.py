#!/usr/bin/env python3
"""Choose the threshold of the example's gate, and write it into fashion.yaml and models/calibration.json.

    calibrate.py [--eps 0] [--models models] [--data /usr/share/datasets/fashion-mnist]

Needs NumPy, ONNX Runtime and the Fashion-MNIST files of Debian's dataset-fashion-mnist. It reads the
5,000 training images that train.py holds out, never the test images.

A query that the light model answers with a probability of at least the threshold is answered so; the
heavy model gets the rest. A lower threshold saves more. The one chosen is the lowest at which the two
together are at most --eps points less accurate than the heavy model alone, there and at every higher
threshold. The lowest of all that happen to do would be picked for its luck with these images.
"""
import argparse
import hashlib
import json
import os
import re
import sys
import time

import numpy as np
import onnxruntime

import train

HERE = os.path.dirname(os.path.abspath(__file__))
STEP = 0.005


class Model:
    """One ONNX model on one thread, as Weir runs it."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name + ".onnx")
        if not os.path.exists(self.path):
            sys.exit(f"{self.path} is missing: run `make models` first")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])

    def digest(self):
        with open(self.path, "rb") as f:
            return hashlib.sha256(f.read()).hexdigest()

    def probabilities(self, pixels, batch=32):
        """Softmax of the logits, a row an image."""
        logits = np.concatenate([self.session.run(["logits"], {"pixels": pixels[i:i + batch].astype(np.float32)})[0]
                                 for i in range(0, len(pixels), batch)])
        e = np.exp(logits - logits.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    def cost(self, pixels, batch, seconds=1.0):
        """Milliseconds for 1,000 rows: the best of the runs that fit in the given time."""
        x = pixels[:batch].astype(np.float32)
        for _ in range(3):
            self.session.run(["logits"], {"pixels": x})
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            self.session.run(["logits"], {"pixels": x})
            best = min(best, time.perf_counter() - start)
        return best * 1e6 / batch


def cascade(light, heavy, labels, threshold):
    """(share answered by the light model, accuracy of the two together)."""
    sure = light.max(1) >= np.float32(threshold)
    answers = np.where(sure, light.argmax(1), heavy.argmax(1))
    return sure.mean(), (answers == labels).mean()


def choose(light, heavy, labels, eps):
    """The lowest threshold that loses at most eps points of the heavy model's accuracy, as all above it do."""
    target = (heavy.argmax(1) == labels).mean() - eps / 100 - 1e-9
    chosen = 1.0
    for step in range(round(1 / STEP), 0, -1):
        threshold = round(step * STEP, 3)
        if cascade(light, heavy, labels, threshold)[1] < target:
            break
        chosen = threshold
    return chosen


def write_threshold(threshold):
    """Set at_least of the gate in fashion.yaml."""
    path = os.path.join(HERE, "fashion.yaml")
    with open(path) as f:
        old = f.read()
    new, n = re.subn(r"at_least: [0-9.]+", f"at_least: {threshold}", old)
    if n != 1:
        sys.exit(f"{path}: one gate with `at_least: NUMBER` expected, {n} found")
    with open(path, "w") as f:
        f.write(new)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--eps", type=float, default=0.0, help="points of accuracy that may be given up (default 0)")
    p.add_argument("--models", default=os.path.join(HERE, "models"))
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    args = p.parse_args()
    models = {name: Model(args.models, name) for name in ("light", "heavy")}
    x, y = train.load(args.data, "calibrate")
    light, heavy = (m.probabilities(x) for m in models.values())
    alone = (heavy.argmax(1) == y).mean()
    cost = {name: m.cost(x, 32) for name, m in models.items()}
    threshold = choose(light, heavy, y, args.eps)

    print(f"{len(x)} calibration images: light alone {100 * (light.argmax(1) == y).mean():.2f} %, heavy alone {100 * alone:.2f} %\n")
    print("| at least | answered by light | light, then heavy | against heavy | cheaper than heavy |\n| --- | --- | --- | --- | --- |")
    for t in sorted({*(round(0.5 + 0.05 * i, 2) for i in range(10)), 0.98, 0.99, 1.0, threshold}):
        answered, accuracy = cascade(light, heavy, y, t)
        cheaper = cost["heavy"] / (cost["light"] + (1 - answered) * cost["heavy"])
        mark = "**" if t == threshold else ""
        print(f"| {mark}{t:g}{mark} | {100 * answered:.1f} % | {100 * accuracy:.2f} % | {100 * (accuracy - alone):+.2f} points | {cheaper:.1f}x |")

    answered, accuracy = cascade(light, heavy, y, threshold)
    with open(os.path.join(args.models, "calibration.json"), "w") as f:
        json.dump({"gate": "first", "score": "max_probability", "at_least": threshold, "eps_points": args.eps,
                   "rows": len(x), "answered_by_light": round(float(answered), 4), "accuracy": round(float(accuracy), 4),
                   "heavy_accuracy": round(float(alone), 4), "sha256": {n: m.digest() for n, m in models.items()}}, f, indent=1)
        f.write("\n")
    write_threshold(threshold)
    print(f"\nat_least: {threshold}, written to fashion.yaml and models/calibration.json")


if __name__ == "__main__":
    main()
