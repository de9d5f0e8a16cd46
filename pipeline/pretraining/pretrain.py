"""Pre-train one backbone: it imitates a classifier without labels, on crops that are never the same twice.

Function matching, after Beyer et al., "Knowledge distillation: a good teacher is patient and consistent" (arXiv
2106.05237): both networks see exactly the same crop, mixed with another image, in a long training.
"""

from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from models.backbone import save_backbone
from models.classifier import Classifier, ClassifierOutput, load_classifier, new_classifier
from models.folding import folded
from pipeline.data.classes import ClassTable
from pipeline.data.crops import crop_dataset
from pipeline.data.files import replacing
from pipeline.data.samples import read_samples
from pipeline.distillation.kd import class_divergence
from pipeline.distillation.method import align
from pipeline.distillation.nfd import normalized_distance
from pipeline.params.training import PretrainingParams, TrainingParams
from pipeline.training.device import device_facts
from pipeline.training.fabric import describe_precision, launch
from pipeline.training.finished import note_result
from pipeline.training.loop import fit, write_curve
from pipeline.training.network import PRETRAINED, check_weights
from pipeline.training.objective import Loss, Objective
from pipeline.training.resume import scratch_folder, training_identity


def pretrain(
    pretraining: PretrainingParams, training: TrainingParams, code: str,
    classes: Path, samples: Path, scratch: Path, out: Path,
) -> None:  # fmt: skip
    """Write out/backbone.safetensors and out/training.csv; only an empty folder if `pretraining.iterations` is 0.

    An unfinished training of other `code` (its digest) is not resumed. Raises ArtifactError if the classifier's file is
    missing or has another hash; ModelError if it holds no classifier or another network's.
    """
    out.mkdir(parents=True, exist_ok=True)
    if not pretraining.iterations:
        print("pretrain: pretraining.iterations is 0, so no backbone is pre-trained")
        return
    own = ("crop_height", "crop_width", "batch_size", "scale_min", "scale_max")  # the others: section `training`
    crops_of = {name: getattr(pretraining, name) for name in own}
    training = replace(training, image_scale=1.0, max_class_share=1.0, **crops_of)
    fabric = launch(training.devices, training.precision, training.deterministic)
    device = device_facts(training.precision, fabric.device.type)
    identity = training_identity(code, classes, samples, {}, pretraining=pretraining, training=training, **device)
    images = read_samples(samples, *pretraining.images)
    source = pretraining.classifier
    check_weights(Path(source.file), source.sha256)
    teacher = load_classifier(source.backbone, Path(source.file))
    teacher.backbone.network = folded(teacher.backbone.network)
    torch.manual_seed(pretraining.seed)
    student = new_classifier(pretraining.backbone, teacher.fc.out_features)
    objective = ImitationObjective(student, teacher, pretraining)
    crops = crop_dataset(images, ClassTable.load(classes), training, pretraining.seed, scratch)
    with scratch_folder(scratch, "pretraining", identity, fabric.is_global_zero) as folder:
        curve = fit(
            objective, crops, training, fabric, name="pretraining", iterations=pretraining.iterations,
            learning_rate=pretraining.learning_rate, scratch=folder,
        )  # fmt: skip
        weights = (
            f"pre-trained here: {pretraining.iterations} iterations on {len(images)} unlabelled images, imitating "
            f"{source.backbone} (file {Path(source.file).name}, sha256 {source.sha256[:12]})"
        )
        facts = {"weights": weights, "precision": describe_precision(training.precision, fabric)}
        if fabric.is_global_zero:
            write_curve(out / "training.csv", curve)
            with replacing(out / PRETRAINED) as temporary:
                save_backbone(student.cpu().backbone, facts, temporary)
            note_result(folder, out)


class ImitationObjective(Objective):
    """class_weight * KL of the classes + feature_weight * distance of the standardized last feature maps.

    The teacher is frozen; both softmaxes have the same `temperature`.
    """

    def __init__(self, student: Classifier, teacher: Classifier, params: PretrainingParams):
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False)
        self.align = align(student.backbone.channels, teacher.backbone.channels)
        self.params = params

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()
        return self

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Tensor) -> Loss:
        seen = mixed(image, self.params.mixup)
        with torch.no_grad():
            teacher: ClassifierOutput = self.teacher(seen)
        student: ClassifierOutput = self.student(seen)
        # The scores of an image are treated as a map of one cell.
        found, said = (output.logits[:, :, None, None] for output in (student, teacher))
        classes = self.params.class_weight * class_divergence(found, said, self.params.temperature)
        distance = normalized_distance(self.align(student.features), teacher.features)
        features = self.params.feature_weight * distance
        agreement = (student.logits.argmax(dim=1) == teacher.logits.argmax(dim=1)).float().mean()
        terms = {"classes": classes.detach(), "features": features.detach()}
        return Loss(classes + features, None, terms, {"agreement": agreement})


def mixed(image: Float[Tensor, "n 3 H W"], largest: float) -> Float[Tensor, "n 3 H W"]:
    """Mix a share (uniform in 0..largest) of the next image in the batch into each one (mixup, arXiv 1710.09412)."""
    if not largest:
        return image
    share = largest * torch.rand(len(image), 1, 1, 1, device=image.device)
    return image.lerp(image.roll(1, dims=0), share)
