"""Cityscapes in the layout of its archives: leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/."""

from pathlib import Path

from pipeline.data.classes import ClassTable, LabelClass
from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import NoOptions, RawDataset
from pipeline.preparation.pairs import video_frames

CITYSCAPES_CLASSES = ClassTable(
    dataset="cityscapes",
    classes=(
        LabelClass("road", (128, 64, 128), (7,)),
        LabelClass("sidewalk", (244, 35, 232), (8,)),
        LabelClass("building", (70, 70, 70), (11,)),
        LabelClass("wall", (102, 102, 156), (12,)),
        LabelClass("fence", (190, 153, 153), (13,)),
        LabelClass("pole", (153, 153, 153), (17,)),
        LabelClass("traffic light", (250, 170, 30), (19,)),
        LabelClass("traffic sign", (220, 220, 0), (20,)),
        LabelClass("vegetation", (107, 142, 35), (21,)),
        LabelClass("terrain", (152, 251, 152), (22,)),
        LabelClass("sky", (70, 130, 180), (23,)),
        LabelClass("person", (220, 20, 60), (24,)),
        LabelClass("rider", (255, 0, 0), (25,)),
        LabelClass("car", (0, 0, 142), (26,)),
        LabelClass("truck", (0, 0, 70), (27,)),
        LabelClass("bus", (0, 60, 100), (28,)),
        LabelClass("train", (0, 80, 100), (31,)),
        LabelClass("motorcycle", (0, 0, 230), (32,)),
        LabelClass("bicycle", (119, 11, 32), (33,)),
    ),
    # Raw id -1 (license plate) becomes 255 in an 8-bit file.
    void_raw_ids=(0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255),
)


class Cityscapes:
    """The fine annotations of train and val; the mask of an image is its gtFine_labelIds file."""

    Params = NoOptions

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List all frames; a frame's sequence is CITY_SEQUENCE (aachen_000012_000019 -> aachen_000012)."""
        source = Path(dataset.source)
        images, masks = source / "leftImg8bit", source / "gtFine"
        # The masks of its own test split are withheld (all void), so accuracy cannot be measured there.
        folders = [(split, images / split, masks / split) for split in ("train", "val")]
        frames = video_frames(source, folders, image_ending="_leftImg8bit", mask_ending="_gtFine_labelIds.png")
        return RawDataset(CITYSCAPES_CLASSES, frames)
