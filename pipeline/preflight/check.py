"""Check a profile before training, and report all problems at once."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import disk_usage

from models.classifier import load_classifier, new_classifier
from models.segmenter import Segmenter
from pipeline.data.classes import ClassTable
from pipeline.data.files import write_json
from pipeline.data.images import image_size
from pipeline.data.samples import UNLABELLED, Sample, read_samples
from pipeline.deploy.signing import KEY_VARIABLE, sign, signing_key
from pipeline.preflight.inputs import Complaint, Inputs, NotReady, noted
from pipeline.preflight.networks import build, export, learn
from pipeline.training.device import best_device, resolved_precision
from pipeline.training.network import check_weights
from pipeline.training.objective import load_class_weights

TEACHER_COPIES, STUDENT_COPIES = 2, 12  # checkpoint, graphs, bundle; each also in DVC's cache
SCORED_COPIES = 3  # the best weights, besides the last: in scratch, as output, in DVC's cache
GIBIBYTE = 2**30


def check_profile(inputs: Inputs, out: Path) -> None:
    """Check a profile and write `out`, always with the same content, so that it makes no later stage run again.

    Raises NotReady with all problems.
    """
    out.unlink(missing_ok=True)
    table, samples = ClassTable.load(inputs.classes), read_samples(inputs.samples)
    complaints = [*_of_splits(inputs, samples), *_of_settings(inputs, table)]
    built = build(inputs, table, complaints)
    export(inputs, table, built, complaints)
    learn(inputs, table, built, complaints)
    complaints += _of_room(inputs, samples, built)
    if complaints:
        raise NotReady(complaints)
    write_json(out, {"complaints": []})


def _of_splits(inputs: Inputs, samples: Sequence[Sample]) -> Iterator[Complaint]:
    held = Counter(sample.split for sample in samples)
    listed = f"{inputs.samples} has {', '.join(f'{count} in {split}' for split, count in held.items()) or 'none'}"
    needed = {
        **{f"{place}.splits": training.splits for place, training in inputs.trainings.items()},
        **{f"{place}.validate_every": ["val"] for place, one in inputs.trainings.items() if one.validate_every},
        "evaluation.split": [inputs.evaluation.split],
        "quantization.judged_on": [inputs.quantization.judged_on],
        "pretraining.images": inputs.pretraining.images if inputs.pretraining.iterations else [],
        **{f"{place}.unlabelled_share": [UNLABELLED] for place, run in inputs.trained.items() if run.unlabelled_share},
    }
    for place, splits in needed.items():
        for split in splits:
            if not held[split]:
                yield Complaint(place, f"no sample is in split {split}; {listed}. Name another split, or add images")
    if (count := inputs.quantization.calibration_images) > held["train"]:
        yield Complaint("quantization.calibration_images", f"{count} images exceed split train; {listed}. Lower it")


def _of_settings(inputs: Inputs, table: ClassTable) -> list[Complaint]:
    complaints: list[Complaint] = []
    if resolved_precision(inputs.training.precision, best_device().type) == "fp16":
        complaints += [
            Complaint(f"{place}.momentum_shift", "it does not work in fp16; set training.precision to bf16 or fp32")
            for place, run in inputs.trained.items()
            if run.momentum_shift
        ]
    for place, training in inputs.trainings.items():
        with noted(complaints, f"{place}.class_balance"):
            load_class_weights(inputs.statistics, table.names, training)
    with noted(complaints, KEY_VARIABLE):
        if key := signing_key():
            sign(b"", key)
    pretraining = inputs.pretraining
    with noted(complaints, "pretraining"):
        if pretraining.iterations and not inputs.is_there("pretraining"):
            source = pretraining.classifier
            check_weights(Path(source.file), source.sha256)
            new_classifier(pretraining.backbone, load_classifier(source.backbone, Path(source.file)).fc.out_features)
    return complaints


def _of_room(inputs: Inputs, samples: Sequence[Sample], built: Mapping[str, Segmenter]) -> Iterator[Complaint]:
    """Compare the free disk space with what trainings, graphs and decoded images need at least."""
    limit = round(inputs.training.decoded_gib * GIBIBYTE)
    decoded = 0
    for sample in samples:
        if sample.split in inputs.training.splits and decoded < limit:
            width, height = image_size(sample.image)
            decoded = min(limit, decoded + 4 * width * height)
    there = sum(path.stat().st_size for path in (inputs.scratch / "decoded-images").glob("*.npy"))
    needed = max(0, decoded - there)
    for place, network in built.items():
        if not inputs.is_there(place):
            copies = TEACHER_COPIES if place == "teacher" else STUDENT_COPIES + 2 * len(inputs.export.other_shapes)
            if inputs.training_of(place).validate_every:
                copies += SCORED_COPIES
            needed += copies * sum(tensor.nbytes for tensor in network.state_dict().values())
    if (free := disk_usage(".").free) < needed:
        sizes = f"{free / GIBIBYTE:.1f} GiB are free, but about {needed / GIBIBYTE:.1f} GiB will be written"
        yield Complaint(f"disk of {Path.cwd()}", f"{sizes}; free some, or lower training.decoded_gib")
