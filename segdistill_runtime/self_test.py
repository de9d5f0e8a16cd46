"""Test whether a bundle gives the expected labels on this machine.

Checks every file against the manifest. Then runs the golden image through the model of each installed runtime, and
compares the labels with those of the machine that made the bundle. The exit status is 0 if all labels agree within the
limit of their precision. Otherwise it is 1, with one message.
"""

import argparse
import time

import numpy as np

from segdistill_runtime.bundle import AUTO, add_bundle_arguments, open_model, verify_bundle
from segdistill_runtime.contract import Contract
from segdistill_runtime.errors import NotAvailable, Refused
from segdistill_runtime.images import decode
from segdistill_runtime.targets.target import load_target
from segdistill_runtime.verify import Bundle

TIMED_CALLS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle_arguments(parser, auto="all installed runtimes")


def run(arguments: argparse.Namespace) -> None:
    begun = time.perf_counter()
    bundle, contract = verify_bundle(arguments.bundle, arguments.public_key)
    image = decode(contract.golden.image, bundle.read(contract.golden.image))[None]
    asked = [file.runtime for file in contract.runtimes] if arguments.runtime == AUTO else [arguments.runtime]
    tested = 0
    for runtime in asked:
        try:
            test_runtime(bundle, contract, runtime, arguments.threads, image)
            tested += 1
        except NotAvailable as refusal:
            if arguments.runtime != AUTO:
                raise
            print(f"{runtime}: not tested: {refusal}")
    if not tested:
        raise NotAvailable(f"nothing was tested: install one of {', '.join(asked)}")
    print(f"passed in {time.perf_counter() - begun:.1f} s")


def test_runtime(bundle: Bundle, contract: Contract, runtime: str, threads: int, image: np.ndarray) -> None:
    """Compare and time one runtime; raises Refused if the labels are not the expected ones."""
    begun = time.perf_counter()
    segmenter = open_model(bundle, contract, runtime, threads)
    labels, loaded = segmenter.labels(image)[0], time.perf_counter() - begun
    file = segmenter.file
    # Labels of the same file on the machine that made the bundle; engines are compared with the fp32 graph's.
    expected = contract.golden.labels["fp32" if load_target(runtime).suffix == ".engine" else file.precision]
    agreement = float((labels == decode(expected, bundle.read(expected))).mean())
    needed = contract.golden.min_pixel_agreement[file.precision]
    if agreement < needed:
        raise Refused(
            f"{file.model} with {runtime}: {agreement:.4%} of the golden image's pixels are as expected, but at "
            f"least {needed:.4%} are needed; do not use it on this machine"
        )
    seconds = []
    for _ in range(TIMED_CALLS):
        begun = time.perf_counter()
        segmenter.labels(image)
        seconds.append(time.perf_counter() - begun)
    print(
        f"{file.model} with {runtime}: {agreement:.4%} of the pixels as expected (at least {needed:.2%}), "
        f"loaded and first image {loaded:.2f} s, then {1e3 * min(seconds):.1f} ms at best"
    )
