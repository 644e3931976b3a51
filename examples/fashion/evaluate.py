#!/usr/bin/env python3
"""Measure the example on the 10,000 test images, at the threshold that fashion.yaml names.

    evaluate.py [--models models] [--data /usr/share/datasets/fashion-mnist]

Needs what calibrate.py needs. Prints Markdown: accuracy and milliseconds for 1,000 rows at several batch
sizes, one thread. Exits 1 unless the example is what its README promises.
"""
import argparse
import os
import re
import sys

import numpy as np

import train
from calibrate import HERE, Model, cascade

BATCHES = (1, 8, 32, 128)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", default=os.path.join(HERE, "models"))
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    args = p.parse_args()
    with open(os.path.join(HERE, "fashion.yaml")) as f:
        threshold = float(re.search(r"at_least: ([0-9.]+)", f.read())[1])
    models = [Model(args.models, name) for name in ("light", "heavy")]
    x, y = train.load(args.data, "test")
    light, heavy = (m.probabilities(x) for m in models)
    costs = [[m.cost(x, b) for b in BATCHES] for m in models]
    answered, both = cascade(light, heavy, y, threshold)
    alone = (heavy.argmax(1) == y).mean()
    right = np.where(light.max(1) >= np.float32(threshold), light.argmax(1), heavy.argmax(1)) == y
    spread = np.std(right.astype(float) - (heavy.argmax(1) == y)) / len(y) ** 0.5

    def row(name, bytes_, accuracy, cost):
        times = " / ".join(f"{c:.0f}" if c >= 20 else f"{c:.1f}" for c in cost)
        print(f"| {name} | {bytes_} | {100 * accuracy:.2f} % | {times} |")

    print(f"| model | bytes | right of {len(y)} test images | ms for 1,000 rows at batch {' / '.join(map(str, BATCHES))} |\n| --- | --- | --- | --- |")
    row("light", f"{os.path.getsize(models[0].path):,}", (light.argmax(1) == y).mean(), costs[0])
    row("heavy", f"{os.path.getsize(models[1].path):,}", alone, costs[1])
    row(f"light, then heavy below {threshold:g}", "", both, [l + (1 - answered) * h for l, h in zip(*costs)])
    print(f"\n{100 * (1 - answered):.1f} % reach the heavy model; {100 * (both - alone):+.2f} points against it alone "
          f"(standard error {100 * spread:.2f}).")
    promises = {
        "heavy is right on at least 92.5 %": alone >= 0.925,
        "light costs at most an eighth of heavy (batch 32)": 8 * costs[0][2] <= costs[1][2],
        "the two together are at most 0.5 points below heavy": both >= alone - 0.005,
        "less than half reach the heavy model": answered > 0.5,
    }
    for promise, kept in promises.items():
        print(f"- {promise}: {'yes' if kept else 'NO'}")
    return not all(promises.values())


if __name__ == "__main__":
    sys.exit(main())
