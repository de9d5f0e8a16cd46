"""The toy, trained on a GPU that is not there."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

from models.folding import fold_batchnorms
from pipeline.data.crops import crop_dataset
from pipeline.data.samples import read_samples
from pipeline.distillation.method import method_class
from pipeline.distillation.objective import DistillationObjective
from pipeline.plan.fake_gpu import Watch, fake_fabric, fake_gpu
from pipeline.training.loop import Curve, fit
from pipeline.training.objective import SupervisedObjective
from tests.distillation.outputs import build_method
from tests.toy import TOY_CLASSES, TOY_TASK, toy_segmenter, toy_training, write_toy_samples


def toy_objective(method: str) -> SupervisedObjective:
    """As the stage makes it: the teacher's BatchNorms are folded, and its auxiliary head is gone where nobody asks."""
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    if method == "none":
        return SupervisedObjective(student, TOY_TASK)
    fold_batchnorms(teacher)
    chosen = {method: build_method(method, {}, student, teacher, 10)}
    if not method_class(method).needs_auxiliary_heads:
        teacher.auxiliary_head = None
    return DistillationObjective(student, teacher, chosen, {method: 1.0}, TOY_TASK)


def fit_on_fake_gpu(
    method: str, precision: str, folder: Path, momentum_shift: float = 0.0, **training: Any
) -> tuple[Curve, Watch]:
    """Two updates through the whole loop; the log is written after the second."""
    training_ = toy_training(precision=precision, compile="never", log_every=2, **training)
    fabric = fake_fabric(precision, deterministic=training_.deterministic)
    crops = crop_dataset(read_samples(write_toy_samples(folder), "train"), TOY_CLASSES, training_, 0, folder)
    objective = toy_objective(method)
    # Tensors without contents cannot be written.
    with fake_gpu() as watch, patch("pipeline.training.loop.save_state", lambda *_: None):
        curve = fit(
            objective, crops, training_, fabric, name="toy", iterations=2, learning_rate=0.05,
            momentum_shift=momentum_shift, scratch=folder / "scratch",
        )  # fmt: skip
    return curve, watch
