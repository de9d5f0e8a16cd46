"""reports/metrics/evaluate/RUN.json: accuracy and size of a checkpoint."""

from pipeline.records.files import record


@record
class Evaluation:
    """Accuracy over the whole evaluation split, in PyTorch."""

    name: str
    architecture: str
    backbone: str
    backbone_weights: str
    precision: str  # of the training
    method: str
    weights: dict[str, float]  # of each distillation method
    seed: int
    split: str
    images: int
    miou: float  # 0..1
    pixel_accuracy: float  # 0..1
    iou_per_class: dict[str, float | None]  # 0..1; None for a class that does not occur
    parameters: int
    gmacs: float  # of one image
    input: list[int]  # (H, W), also of the exported graphs
