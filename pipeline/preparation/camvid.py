"""CamVid as the SegNet tutorial lays it out: train/ trainannot/ val/ valannot/ test/ testannot/."""

from pathlib import Path

from pipeline.data.classes import ClassTable, LabelClass
from pipeline.data.samples import LABELLED_SPLITS
from pipeline.preparation.adapter import RawDataset, RawSample
from pipeline.preparation.pairs import pair_files, require_one_split, unique_ids

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


def read_camvid(source: Path) -> RawDataset:
    """List CamVid: images of any format that pillow reads, masks as PNG of the same stem.

    The sequence is the stem up to its last underscore (0016E5_07959 -> 0016E5).

    Raises:
        PrepareError: a folder is missing or empty, images and masks do not pair up, or two splits share a frame.
    """
    pairs = [
        (split, pair)
        for split in LABELLED_SPLITS
        for pair in pair_files(source / split, source / f"{split}annot", image_ending="", mask_ending=".png")
    ]
    stems = [pair.key for _, pair in pairs]
    require_one_split(source, stems)
    ids = unique_ids(stems)
    return RawDataset(
        CAMVID_CLASSES,
        [
            RawSample(ids[pair.key], split, pair.key.rpartition("_")[0] or pair.key, pair.image, pair.mask)
            for split, pair in pairs
        ],
    )
