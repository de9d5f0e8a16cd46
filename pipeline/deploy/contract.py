"""Make preprocessing.json of a bundle: the file for each runtime, and a golden image with its expected labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from pipeline.data.files import replacing
from pipeline.data.images import read_image, write_mask
from pipeline.data.samples import Sample
from pipeline.deploy.decisions import defaults
from pipeline.measure.parity import engine_budget
from pipeline.params.deployment import ParityParams
from pipeline.records.artifacts import Artifact
from pipeline.records.release import Decision
from pipeline.runtime.artifacts import open_artifact
from pipeline.threads import available_threads
from segdistill_runtime.contract import Contract, GoldenFiles, LeftOut, RuntimeFile
from segdistill_runtime.images import Resizing, resize

IMAGE = "golden/image.png"
FASTER = "it is released, but another file is faster on this runtime"


def write_golden(
    sample: Sample, size: tuple[int, int], graphs: dict[str, Path], accepted: Sequence[Artifact], parity: ParityParams,
    bundle: Path,
) -> GoldenFiles:  # fmt: skip
    """Write the golden image as PNG and the labels of each graph, run here; return their entry in the contract.

    The least agreement of a precision allows for two differences. Another processor rounds differently; the budget
    covers this. And the precision itself changes labels of this image, while an engine is compared with those of fp32.

    Args:
        size: (H, W) of the graphs.
        graphs: file of each precision, fp32 included.
    """
    # Stretched even if the contract says letterbox: the labels of padding are meaningless and must not be compared.
    image = resize(read_image(sample.image, sample.image_sha256), *size)
    with replacing(bundle / IMAGE) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", optimize=True)
    paths = {precision: f"golden/labels_{precision}.png" for precision in graphs}
    predicted = {}
    for precision, graph in graphs.items():
        with open_artifact(graph, available_threads()) as runner:
            predicted[precision] = runner.run(image[None])[0]
        with replacing(bundle / paths[precision]) as temporary:
            write_mask(temporary, predicted[precision])
    least = {}
    for precision in sorted({"fp32"} | {artifact.precision for artifact in accepted}):
        own = float((predicted.get(precision, predicted["fp32"]) == predicted["fp32"]).mean())
        budget = engine_budget(parity, precision).min_pixel_agreement
        least[precision] = own + budget - 1.0
    return GoldenFiles(sample.id, IMAGE, paths, least)


def release_contract(
    run: str, resizing: Resizing, decisions: Sequence[Decision], golden: GoldenFiles, speedup: Mapping[str, float]
) -> Contract:
    """Build the contract for clients from the decisions."""
    best = defaults(decisions)
    others = [
        LeftOut(d.runtime, d.precision, d.file, d.verdict, FASTER if d.verdict == "accepted" else d.reason)
        for d in decisions
        if d not in best
    ]
    runtimes = [RuntimeFile(d.runtime, d.precision, d.file, d.p50_ms) for d in best]
    return Contract(run, *resizing, runtimes, others, golden, dict(speedup))
