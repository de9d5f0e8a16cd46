"""How far the labels of an exported file agree with those of its checkpoint."""

from pipeline.records.files import record


@record
class Parity:
    """Agreement over the evaluation split. Lost points are of 100, and negative for a gain."""

    runtime: str  # whose labels were compared
    images: int
    pixel_agreement: float  # share of all pixels with the same class, 0..1
    boundary_agreement: float | None  # the same near class boundaries; None if there are none
    worst_image: str
    worst_agreement: float  # of that image
    reference_miou: float  # of the checkpoint, 0..1
    miou: float  # 0..1
    miou_lost_points: float
    worst_class: str  # the class whose IoU lost most
    worst_class_lost_points: float
