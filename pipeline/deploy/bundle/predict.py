"""Segment one image with this bundle: python predict.py IMAGE

Needs numpy, onnxruntime and pillow. Checks every file of the bundle against manifest.json before it opens the model,
then writes the image with the predicted classes laid over it, and prints each class's share of the pixels.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

BUNDLE = Path(__file__).resolve().parent


def verify(bundle: Path) -> None:
    """Refuse a bundle in which a file is missing or is not the one that was released."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    for entry in manifest["files"]:
        path = bundle / entry["path"]
        if not path.is_file():
            sys.exit(f"{path} is missing: this bundle is incomplete, fetch it again")
        if hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            sys.exit(f"{path} is not the file that was released (SHA-256 differs): fetch the bundle again")


def segment(image: Image.Image, bundle: Path, threads: int) -> np.ndarray:
    """Train ids, uint8 (height, width) of the given RGB image."""
    import onnxruntime  # only now: no model is opened before the bundle is verified

    contract = json.loads((bundle / "preprocessing.json").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(bundle / contract["model"]), options, providers=["CPUExecutionProvider"])
    resized = image.resize((contract["width"], contract["height"]), Image.Resampling.BILINEAR)
    batch = np.asarray(resized, dtype=np.uint8)[None]
    labels = np.asarray(session.run([contract["output"]], {contract["input"]: batch})[0])[0]
    return np.asarray(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--output", type=Path, help="overlay to write (default: IMAGE's name with _overlay.png, here)")
    parser.add_argument("--labels", type=Path, help="also write the train ids as an 8-bit PNG")
    parser.add_argument("--opacity", type=float, default=0.55, help="of the colors over the image, 0 to 1")
    parser.add_argument("--threads", type=int, default=0, help="0 lets the runtime choose")
    arguments = parser.parse_args()

    verify(BUNDLE)
    try:
        image = ImageOps.exif_transpose(Image.open(arguments.image)).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        sys.exit(f"{arguments.image} cannot be read as an image: {error}")
    labels = segment(image, BUNDLE, arguments.threads)

    classes = json.loads((BUNDLE / "classes.json").read_text())["classes"]
    palette = np.array([entry["color"] for entry in classes], dtype=np.uint8)
    overlay = Image.blend(image, Image.fromarray(palette[labels]), arguments.opacity)
    output = arguments.output or Path(f"{arguments.image.stem}_overlay.png")
    overlay.save(output)
    if arguments.labels:
        Image.fromarray(labels).save(arguments.labels)

    shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
    for index in np.argsort(-shares):
        if shares[index] > 0:
            print(f"{classes[index]['name']:>16}  {100 * shares[index]:5.1f} %")
    print(f"overlay written to {output}")


if __name__ == "__main__":
    main()
