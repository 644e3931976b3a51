#!/usr/bin/env python3
"""Draw the sample of test images that the demo publishes: sample.ndjson.gz.

    sample.py [--out sample.ndjson.gz] [--data /usr/share/datasets/fashion-mnist] [--per-class 600]

Needs NumPy and the Fashion-MNIST files of Debian's dataset-fashion-mnist. The seed is fixed, so the lines
are always the same. A line is one query and its true label; the demo publishes the query alone:

    {"pixels":"AAAA…","label":"Bag"}

The pixels are the image's 784 bytes in base64. Under gzip that takes 467 bytes an image, against 554 for a
list of numbers (which Weir reads just as well), so that 6,000 images stay below 3 MB instead of 5,400.
"""
import argparse
import base64
import gzip
import os

import numpy as np

import train

HERE = os.path.dirname(os.path.abspath(__file__))


def draw(labels, per_class):
    """Rows of the test set: equally many of each class, in random order."""
    rng = np.random.RandomState(train.SEED)
    rows = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(10)]
    return rng.permutation(np.concatenate(rows))


def compress(lines):
    """NDJSON as gzip bytes without a time stamp, so that they depend on the lines alone."""
    return gzip.compress("".join(line + "\n" for line in lines).encode(), 9, mtime=0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", default=os.path.join(HERE, "sample.ndjson.gz"))
    p.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    p.add_argument("--per-class", type=int, default=600)
    args = p.parse_args()
    with open(os.path.join(HERE, "labels.txt")) as f:
        names = f.read().splitlines()
    x, y = train.load(args.data, "test")
    rows = draw(y, args.per_class)
    short = compress('{"pixels":"%s","label":"%s"}' % (base64.b64encode(x[r].tobytes()).decode(), names[y[r]]) for r in rows)
    long = compress('{"pixels":[%s],"label":"%s"}' % (",".join(map(str, x[r])), names[y[r]]) for r in rows)
    with open(args.out, "wb") as f:
        f.write(short)
    print(f"wrote {args.out}: {len(rows)} images, {len(short)} bytes (as lists of numbers: {len(long)})")


if __name__ == "__main__":
    main()
