"""Segmentation quality from one confusion matrix over the whole split."""

import numpy as np

from pipeline.data.classes import IGNORE_INDEX


class ConfusionMatrix:
    """Pixel counts: rows are labels, columns are predictions. Unlabelled pixels are not counted."""

    def __init__(self, classes: int):
        self.counts = np.zeros((classes, classes), dtype=np.int64)

    def add(self, labels: np.ndarray, prediction: np.ndarray) -> None:
        """Count two uint8 arrays of train ids; raise ValueError if shapes differ or an id is not a class."""
        if labels.shape != prediction.shape:
            raise ValueError(f"labels have shape {labels.shape}, the prediction {prediction.shape}")
        classes = len(self.counts)
        labelled = labels != IGNORE_INDEX
        rows, columns = labels[labelled].astype(np.int64), prediction[labelled].astype(np.int64)
        if rows.size and max(rows.max(), columns.max()) >= classes:
            raise ValueError(f"train id {max(rows.max(), columns.max())} in a table of {classes} classes")
        self.counts += np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)

    @property
    def labelled(self) -> np.ndarray:
        """The classes that have a label, bool (k,). The mIoU of any network on these labels covers them alone."""
        return self.counts.sum(axis=1) > 0

    def iou_per_class(self) -> np.ndarray:
        """Return the IoU of each class, 0..1, float64 (k,); NaN for a class without labels, whatever is predicted."""
        hits = np.diag(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        return np.divide(hits, union, out=np.full(len(hits), np.nan), where=self.labelled)

    def miou(self) -> float:
        """Return the mean IoU over the labelled classes, 0..1; NaN if no pixel is labelled."""
        return float(self.iou_per_class()[self.labelled].mean()) if self.labelled.any() else float("nan")

    def pixel_accuracy(self) -> float:
        """Return the share of labelled pixels that are predicted right, 0..1; NaN if no pixel is labelled."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else float("nan")
