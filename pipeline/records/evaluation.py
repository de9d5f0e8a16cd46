"""reports/metrics/evaluate/RUN.json: accuracy and size of a checkpoint."""

from collections.abc import Mapping

from pipeline.records.files import record

NAMED = 3  # absent classes that a text names


@record
class Evaluation:
    """Accuracy over the whole evaluation split, in PyTorch."""

    name: str
    architecture: str
    backbone: str
    backbone_weights: str
    precision: str  # of the training
    chosen: str = ""  # which weights of the training these are; empty: the last
    method: str
    weights: dict[str, float]  # of each distillation method
    seed: int
    split: str
    images: int
    miou: float  # 0..1
    pixel_accuracy: float  # 0..1
    iou_per_class: dict[str, float | None]  # 0..1; None for a class without a label in the split
    predicted_absent: dict[str, int]  # class without a label -> pixels wrongly predicted as it
    parameters: int
    gmacs: float  # for one image
    input: list[int]  # (H, W), also of the exported graphs

    @property
    def miou_scope(self) -> str:
        return miou_scope(self.iou_per_class, self.split)


def miou_scope(iou_per_class: Mapping[str, float | None], split: str) -> str:
    """Return text that follows the word mIoU and names its classes; empty if they are all classes."""
    absent = [f"`{name}`" for name, iou in iou_per_class.items() if iou is None]
    if not absent:
        return ""
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    count = len(iou_per_class)
    return f" (of {count - len(absent)} of {count} classes: no {', '.join(absent[:NAMED])}{more} in {split})"
