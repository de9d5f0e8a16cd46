"""Pre-train one backbone by imitating a classifier of ImageNet on images at hand."""

from dataclasses import replace
from pathlib import Path

import torch

from models.backbone import save_backbone
from models.classifier import Classifier, load_classifier, new_classifier
from models.folding import folded
from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.files import replacing
from pipeline.data.samples import read_samples
from pipeline.params.pretraining import ClassifierParams, PretrainingParams
from pipeline.params.training import TrainingParams
from pipeline.pretraining.imitation import ImitationObjective
from pipeline.training.device import describe_precision, device_facts, launch
from pipeline.training.loop import fit, write_curve
from pipeline.training.network import PRETRAINED, check_weights
from pipeline.training.resume import scratch_folder, training_identity


def pretrain(
    pretraining: PretrainingParams, training: TrainingParams, code: str,
    classes: Path, samples: Path, scratch: Path, out: Path,
) -> None:  # fmt: skip
    """Write out/backbone.safetensors and out/training.csv; an empty folder where the parameters ask for nothing.

    Args:
        code: digest of the code at work; an unfinished training of other code is not resumed.

    Raises:
        ArtifactError: the classifier's file is missing or another one.
        ModelError: the file holds no classifier, or another network's.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not pretraining.iterations:
        print("pretrain: pretraining.iterations is 0, so no backbone is pre-trained")
        return
    training = _training_of(pretraining, training)
    fabric = launch(training.devices, training.precision, training.deterministic)
    device = device_facts(training.precision, fabric.device.type)
    files = {"classes": classes, "samples": samples}
    identity = training_identity(code, files, pretraining=pretraining, training=training, **device)
    images = read_samples(samples, *pretraining.images)
    teacher = _frozen_classifier(pretraining.classifier)
    torch.manual_seed(pretraining.seed)
    student = new_classifier(pretraining.backbone, teacher.fc.out_features)
    objective = ImitationObjective(
        student, teacher, pretraining.mixup, pretraining.temperature, pretraining.class_weight,
        pretraining.feature_weight,
    )  # fmt: skip
    crops = crop_dataset(images, ClassTable.load(classes), training, pretraining.seed, scratch)
    with scratch_folder(scratch, "pretraining", identity, fabric.is_global_zero) as folder:
        curve = fit(
            objective, crops, training, fabric, name="pretraining", iterations=pretraining.iterations,
            learning_rate=pretraining.learning_rate, scratch=folder,
        )  # fmt: skip
        precision = describe_precision(training.precision, fabric)
        facts = {"weights": _describe(pretraining, len(images)), "precision": precision}
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            with replacing(out / PRETRAINED) as temporary:
                save_backbone(student.cpu().backbone, facts, temporary)


def _training_of(pretraining: PretrainingParams, training: TrainingParams) -> TrainingParams:
    """As networks are trained here, but with the crops of pre-training, whatever their classes."""
    own = ("crop_height", "crop_width", "batch_size", "scale_min", "scale_max")
    return replace(training, image_scale=1.0, max_class_share=1.0, **{name: getattr(pretraining, name) for name in own})


def _frozen_classifier(params: ClassifierParams) -> Classifier:
    path = Path(params.file)
    check_weights(path, params.sha256)
    classifier = load_classifier(params.backbone, path)
    classifier.backbone.network = folded(classifier.backbone.network)
    return classifier


def _describe(pretraining: PretrainingParams, images: int) -> str:
    classifier = pretraining.classifier
    return (
        f"pre-trained here: {pretraining.iterations} iterations on {images} unlabelled images, imitating "
        f"{classifier.backbone} (file {Path(classifier.file).name}, sha256 {classifier.sha256[:12]})"
    )
