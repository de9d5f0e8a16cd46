"""CamVid in the layout of the SegNet tutorial: train/ trainannot/ val/ valannot/ test/ testannot/."""

from pathlib import Path

from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.samples import LABELLED_SPLITS
from pipeline.params.dataset import DatasetParams
from pipeline.preparation.adapter import NoOptions, RawDataset
from pipeline.preparation.pairs import video_frames

CAMVID_CLASSES = ClassTable(
    dataset="camvid",
    classes=(
        LabelClass("sky", (128, 128, 128), (0,)),
        LabelClass("building", (128, 0, 0), (1,)),
        LabelClass("pole", (192, 192, 128), (2,)),
        LabelClass("road", (128, 64, 128), (3,)),
        LabelClass("pavement", (60, 40, 222), (4,)),
        LabelClass("tree", (128, 128, 0), (5,)),
        LabelClass("sign", (192, 128, 128), (6,)),
        LabelClass("fence", (64, 64, 128), (7,)),
        LabelClass("car", (64, 0, 128), (8,)),
        LabelClass("pedestrian", (64, 64, 0), (9,)),
        LabelClass("bicyclist", (0, 128, 192), (10,)),
    ),
    void_raw_ids=(11,),
)


class CamVid:
    """Images of any format that pillow reads, masks as PNG of the same stem."""

    Params = NoOptions

    @staticmethod
    def read(dataset: DatasetParams, drawn: Path) -> RawDataset:
        """List all frames; a frame's sequence is its stem up to the last underscore (0016E5_07959 -> 0016E5)."""
        source = Path(dataset.source)
        folders = [(split, source / split, source / f"{split}annot") for split in LABELLED_SPLITS]
        return RawDataset(CAMVID_CLASSES, video_frames(source, folders, image_ending="", mask_ending=".png"))
