"""Segment one image with this bundle: python predict.py IMAGE

Needs numpy, pillow and onnxruntime, or openvino where that ships. Checks every file of the bundle against manifest.json
before it opens the model, then writes the image with the predicted classes laid over it, and prints each class's share
of the pixels.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

BUNDLE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True  # a bundle stays as it was delivered,
cache, sys.pycache_prefix = sys.pycache_prefix, "/nonexistent/pycache"  # and compiled files put into it are not read
sys.path.insert(0, str(BUNDLE))

from runner.contract import AUTO, RUNTIMES, LabelClass, read_classes  # noqa: E402
from runner.images import read_image  # noqa: E402
from segmenter import REFUSALS, open_segmenter, verify_bundle  # noqa: E402
from verify import KEY_VARIABLE, given_key  # noqa: E402

sys.pycache_prefix = cache  # those of the runtimes are, or each start would compile them anew


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument(
        "--runtime", choices=[AUTO, *RUNTIMES], default=AUTO, help="auto: the fastest that is installed"
    )
    parser.add_argument("--threads", type=int, default=0, help="0 lets the runtime choose")
    parser.add_argument("--output", type=Path, help="overlay to write (default: IMAGE's name with _overlay.png, here)")
    parser.add_argument("--labels", type=Path, help="also write the train ids as an 8-bit PNG")
    parser.add_argument("--opacity", type=float, default=0.55, help="of the colors over the image, 0 to 1")
    parser.add_argument("--public-key", type=Path, help=f"PEM file (default: the environment variable {KEY_VARIABLE})")
    arguments = parser.parse_args()

    bundle = verify_bundle(BUNDLE, given_key(arguments.public_key))
    image = read_image(arguments.image)
    segmenter = open_segmenter(bundle, arguments.runtime, arguments.threads)
    labels = segmenter.segment(image)
    print(f"{segmenter.choice.model} with {segmenter.choice.runtime}")
    _write(image, labels, read_classes(bundle.read("classes.json")), arguments)


def _write(image: np.ndarray, labels: np.ndarray, classes: list[LabelClass], arguments: argparse.Namespace) -> None:
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


if __name__ == "__main__":
    try:
        main()
    except REFUSALS as refusal:
        sys.exit(str(refusal))
    except OSError as error:
        sys.exit(f"{error.filename or 'a file'} cannot be written: {error.strerror}")
