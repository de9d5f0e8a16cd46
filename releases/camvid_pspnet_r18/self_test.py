"""Does this bundle do on this machine what it did where it was made? python self_test.py

Checks every file against manifest.json, then runs the golden image through the model of each runtime that is installed,
and compares the labels with the expected ones. Exit status 0 if all of them agree as far as their precision
allows, 1 with one message otherwise.
"""

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

BUNDLE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True  # a bundle stays as it was delivered,
cache, sys.pycache_prefix = sys.pycache_prefix, "/nonexistent/pycache"  # and compiled files put into it are not read
sys.path.insert(0, str(BUNDLE))

from runner.contract import AUTO, RUNTIMES, require_input  # noqa: E402
from segmenter import NOT_HERE, REFUSALS, OpenedBundle, open_segmenter, verify_bundle  # noqa: E402
from verify import KEY_VARIABLE, given_key  # noqa: E402

sys.pycache_prefix = cache  # those of the runtimes are, or each start would compile them anew

TIMED_CALLS = 5


class SelfTestFailed(Exception):
    """Labels that are not the expected ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtime", choices=[AUTO, *RUNTIMES], default=AUTO, help="auto: all that are installed")
    parser.add_argument("--threads", type=int, default=0, help="0 lets the runtime choose")
    parser.add_argument("--public-key", type=Path, help=f"PEM file (default: the environment variable {KEY_VARIABLE})")
    arguments = parser.parse_args()

    begun = time.perf_counter()
    bundle = verify_bundle(BUNDLE, given_key(arguments.public_key))
    image = _picture(bundle, bundle.contract.golden_image)[None]
    require_input(image, bundle.contract)
    offered = [choice.runtime for choice in bundle.contract.runtimes]
    asked = offered if arguments.runtime == AUTO else [arguments.runtime]
    passed = [_passes(bundle, image, runtime, arguments) for runtime in asked]
    if not any(passed):
        raise SelfTestFailed(f"nothing was tested: install one of {', '.join(asked)}")
    print(f"passed in {time.perf_counter() - begun:.1f} s")


def _picture(bundle: OpenedBundle, name: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(bundle.read(name))))


def _passes(bundle: OpenedBundle, image: np.ndarray, runtime: str, arguments: argparse.Namespace) -> bool:
    """Test one runtime; False if it is not here and was not asked for."""
    begun = time.perf_counter()
    try:
        segmenter = open_segmenter(bundle, runtime, arguments.threads)
    except NOT_HERE as refusal:
        if arguments.runtime != AUTO:
            raise
        print(f"{runtime}: not tested: {refusal}")
        return False
    labels, loaded = segmenter.labels(image)[0], time.perf_counter() - begun
    choice = segmenter.choice
    expected = _picture(bundle, bundle.contract.expected_labels(choice))
    agreement, needed = float((labels == expected).mean()), bundle.contract.golden_agreement[choice.precision]
    if agreement < needed:
        raise SelfTestFailed(
            f"{choice.model} with {runtime}: {agreement:.4%} of the golden image's pixels are as expected, at least "
            f"{needed:.4%} are needed; do not use it on this machine"
        )
    seconds = []
    for _ in range(TIMED_CALLS):
        begun = time.perf_counter()
        segmenter.labels(image)
        seconds.append(time.perf_counter() - begun)
    print(
        f"{choice.model} with {runtime}: {agreement:.4%} of the pixels as expected (at least {needed:.2%}), "
        f"loaded and first image {loaded:.2f} s, then {1e3 * min(seconds):.1f} ms at best"
    )
    return True


if __name__ == "__main__":
    try:
        main()
    except (SelfTestFailed, *REFUSALS) as refusal:
        sys.exit(str(refusal))
