"""Segment one image with a released model.

Checks every file of the bundle against its manifest before it opens the model. Then writes the image with the predicted
classes as an overlay, and prints each class's share of the pixels.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from segdistill_runtime.bundle import add_bundle_arguments, open_model, verify_bundle
from segdistill_runtime.contract import CLASSES, read_classes
from segdistill_runtime.images import read_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, help="an image file of any size")
    add_bundle_arguments(parser, auto="the fastest installed runtime")
    parser.add_argument("--output", type=Path, help="overlay to write (default: ./IMAGE_overlay.png)")
    parser.add_argument("--labels", type=Path, help="also write the train ids as an 8-bit PNG")
    parser.add_argument("--opacity", type=float, default=0.55, help="opacity of the colors over the image, 0 to 1")


def run(arguments: argparse.Namespace) -> None:
    bundle, contract = verify_bundle(arguments.bundle, arguments.public_key)
    classes, image = read_classes(bundle.read(CLASSES)), read_image(arguments.image)
    segmenter = open_model(bundle, contract, arguments.runtime, arguments.threads)
    labels = segmenter.segment(image)
    print(f"{segmenter.file.model} with {segmenter.file.runtime}")
    palette = np.array([entry.color for entry in classes], dtype=np.uint8)
    overlay = Image.blend(Image.fromarray(image), Image.fromarray(palette[labels]), arguments.opacity)
    output = arguments.output or Path(f"{arguments.image.stem}_overlay.png")
    overlay.save(output)
    if arguments.labels:
        Image.fromarray(labels).save(arguments.labels)
    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    for index in np.argsort(-shares):
        if shares[index] > 0:
            print(f"{classes[index].name:>16}  {100 * shares[index]:5.1f} %")
    print(f"overlay written to {output}")
