"""The classes of the drawn streets: the eleven of CamVid, in its order and with its colors."""

from pipeline.data.classes import ClassTable, LabelClass

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST, VOID = range(12)
"""Raw ids in the mask files. VOID is what nobody labelled: the own hood, dustbins."""

STREET_CLASSES = ClassTable(
    dataset="streets",
    classes=(
        LabelClass("sky", (128, 128, 128), (SKY,)),
        LabelClass("building", (128, 0, 0), (BUILDING,)),
        LabelClass("pole", (192, 192, 128), (POLE,)),
        LabelClass("road", (128, 64, 128), (ROAD,)),
        LabelClass("pavement", (60, 40, 222), (PAVEMENT,)),
        LabelClass("tree", (128, 128, 0), (TREE,)),
        LabelClass("sign", (192, 128, 128), (SIGN,)),
        LabelClass("fence", (64, 64, 128), (FENCE,)),
        LabelClass("car", (64, 0, 128), (CAR,)),
        LabelClass("pedestrian", (64, 64, 0), (PEDESTRIAN,)),
        LabelClass("bicyclist", (0, 128, 192), (BICYCLIST,)),
    ),
    void_raw_ids=(VOID,),
)
