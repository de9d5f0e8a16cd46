"""Time students and graphs of other projects, in turns in one run.

Our files are those of a bundle or of an export, timed from an image of the graph's size to labels. A rival is any ONNX
file of fixed shape, timed from its input array to its output, without its preprocessing and postprocessing. Create its
file in a separate environment: this module imports nothing of it. For the same reason, the rival's own tools predict
the images on which `--split` scores it. Then a chart of mIoU and time is written beside the record.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np

from benchmarks.record import begun
from pipeline.cli import end_with_parent
from pipeline.data.classes import ClassTable
from pipeline.data.files import replacing, sha256, write_json
from pipeline.data.samples import read_samples
from pipeline.errors import ParamsError
from pipeline.params.sections import Split
from pipeline.params.tree import load_params
from segdistill_runtime.errors import FileRefused
from segdistill_runtime.images import Resizing

SETTLE_S = 0.3  # untimed calls at the start of a turn: threads of the file before still spin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="NAME=FILE.onnx", help="our files and those of other projects")
    parser.add_argument("--runtime", default="onnxruntime", choices=["onnxruntime", "openvino"], help="of our files")
    parser.add_argument("--threads", type=int, default=2, help="threads of each runtime")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every file")
    parser.add_argument("--calls", type=int, default=20, help="timed calls in each turn")
    parser.add_argument("--split", choices=get_args(Split), help="also score our files on this split of this profile")
    parser.add_argument(
        "--predictions", nargs="*", default=[], metavar="NAME=FOLDER",
        help="to score rivals too: what each predicts for the split, a PNG of train ids for each sample id",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("reports/speed/rivals.json"), help="the record, JSON")


def run(arguments: argparse.Namespace) -> None:
    files = named_paths(arguments.files)
    mious = score(files, named_paths(arguments.predictions), arguments) if arguments.split else {}
    # One process for each file: in one process, the threads of two sessions would wait for each other.
    context = get_context("spawn")
    pools = {name: ProcessPoolExecutor(1, context, initializer=end_with_parent) for name in files}
    rounds: dict[str, list[float]] = {name: [] for name in files}
    try:
        for _ in range(arguments.rounds):
            for name, file in files.items():
                asked = (str(file), arguments.runtime, arguments.threads, arguments.calls)
                rounds[name].append(pools[name].submit(time_turn, *asked).result())
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
    first = median(next(iter(rounds.values())))
    rows: list[dict[str, Any]] = []
    for name, file in files.items():
        ms = 1e3 * median(rounds[name])
        rows.append(
            {"name": name, "file": file.name, "sha256": sha256(file), "megabytes": file.stat().st_size / 1e6}
            | {"ms": ms, "ms_of_rounds": [1e3 * seconds for seconds in rounds[name]], "miou": mious.get(name)}
        )
        print(f"{name:24} {ms:8.2f} ms  {ms / 1e3 / first:5.2f} times {next(iter(files))}", flush=True)
    asked = {name: getattr(arguments, name) for name in ("threads", "calls", "split")}
    write_json(arguments.out, {**begun(), **asked, "rows": rows})
    print(f"wrote {arguments.out}")
    if mious:
        draw([row for row in rows if row["miou"] is not None], arguments.out.with_suffix(".png"))


def named_paths(words: Sequence[str]) -> dict[str, Path]:
    """Read NAME=PATH words; raises ParamsError for words of another form, repeated names and missing paths."""
    paths: dict[str, Path] = {}
    for word in words:
        name, _, path = word.partition("=")
        if not name or not path or not Path(path).exists() or name in paths:
            raise ParamsError(f"{word!r} must be NAME=PATH, with a unique name and an existing path")
        paths[name] = Path(path)
    return paths


def score(
    files: Mapping[str, Path], predictions: Mapping[str, Path], arguments: argparse.Namespace
) -> dict[str, float]:
    """Return mIoU on the split, 0..1: of our files by running them, of rivals from their predictions."""
    from pipeline.measure.evaluate import predict, score_predictions  # brings PyTorch, which no timed process needs
    from pipeline.runtime.artifacts import open_artifact

    classes = ClassTable.load(Path("data/prepared/classes.json"))
    samples, resize = read_samples(Path("data/curated/samples.csv"), arguments.split), load_params().export.resize
    found = {}
    for name, file in files.items():
        with TemporaryDirectory() as temporary:
            folder = predictions.get(name, Path(temporary))
            if name not in predictions:
                try:
                    runner = open_artifact(file, arguments.threads, arguments.runtime)
                except FileRefused:
                    continue  # a rival without predictions
                with runner:
                    assert runner.shape is not None
                    _, height, width, _ = runner.shape
                    predict(runner, Resizing(height, width, resize), samples, 1, folder, name)
            found[name] = score_predictions(samples, folder, classes)[0].miou()
    return found


def draw(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw mIoU against time: one point for each file that has both."""
    from pipeline.reporting.style import FAMILY_HUES, Chart, canvas, in_style

    with in_style():
        figure, (axes,) = canvas(6.2, 3.9)
        for row, color in zip(rows, cycle(FAMILY_HUES), strict=False):
            axes.scatter(row["ms"], 100 * row["miou"], s=60, color=color)
            axes.annotate(row["name"], (row["ms"], 100 * row["miou"]), (0, 7), textcoords="offset points",
                          ha="center", fontsize=8.5)  # fmt: skip
        axes.margins(x=0.15, y=0.18)
        axes.set(xlabel="time of one image, ms", ylabel="mIoU, %")
    with replacing(out) as temporary:
        temporary.write_bytes(Chart(figure).png)


def time_turn(file: str, runtime: str, threads: int, calls: int) -> float:
    """Return the median seconds of a call; each process loads the graph once."""
    call = _opened(file, runtime, threads)
    settled = time.perf_counter() + SETTLE_S
    while time.perf_counter() < settled:
        call()
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


@cache
def _opened(file: str, runtime: str, threads: int) -> Any:
    from pipeline.runtime.artifacts import open_artifact

    try:
        runner = open_artifact(Path(file), threads, runtime)
    except FileRefused:  # not one of our graphs (one image in, one label map out)
        return _any_graph(file, threads)
    assert runner.shape is not None
    image = np.random.default_rng(0).integers(0, 256, runner.shape, dtype=np.uint8)
    return lambda: runner.run(image)


def _any_graph(file: str, threads: int) -> Any:
    """Open any ONNX file of fixed shape; raises ParamsError if it cannot run on random numbers."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    random = np.random.default_rng(0)
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        inputs = {each.name: random.random(each.shape).astype(kinds[each.type]) for each in session.get_inputs()}
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ParamsError(
            f"{file} is not an ONNX file with inputs of fixed shape and pixel values ({error})"
        ) from error
    return lambda: session.run(None, inputs)
