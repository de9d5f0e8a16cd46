"""The classes of the drawn streets: those of CamVid, whose raw ids and colors they share."""

from dataclasses import replace

from pipeline.preparation.camvid import CAMVID_CLASSES

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST, VOID = range(12)
"""Raw ids in the mask files. VOID is what nobody labelled: the own hood, dustbins."""

STREET_CLASSES = replace(CAMVID_CLASSES, dataset="streets")
