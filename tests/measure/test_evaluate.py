"""The whole stage on toy images whose labels lack a class: what is recorded about it."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.data.files import sha256
from pipeline.data.images import read_labels, read_mask
from pipeline.data.samples import read_samples, write_samples
from pipeline.measure.evaluate import evaluate_checkpoint
from pipeline.params.tree import load_params
from pipeline.records.evaluation import Evaluation, miou_scope
from pipeline.records.files import read_record
from segdistill_runtime.images import Resizing
from tests.toy import TOY_CLASSES, toy_segmenter, write_toy_samples

POND = 2


def test_a_class_without_labels_is_named_and_its_pixels_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = write_toy_samples(tmp_path)
    samples = read_samples(listing, "test")
    for sample in samples:
        assert sample.mask
        labels = np.array(Image.open(sample.mask))
        Image.fromarray(np.where(labels == POND, 0, labels)).save(sample.mask)
    samples = [sample._replace(mask_sha256=sha256(sample.mask)) for sample in samples if sample.mask]
    write_samples(listing, samples)
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, tmp_path / "checkpoint.safetensors")
    evaluation = load_params(ROOT / "params.yaml").evaluation
    evaluate_checkpoint(
        "toy", "none", {}, 0, evaluation, Resizing(48, 64, "stretch"), tmp_path / "classes.json", listing,
        tmp_path / "checkpoint.safetensors", tmp_path / "out", tmp_path / "metrics.json",
    )  # fmt: skip
    record = read_record(Evaluation, tmp_path / "metrics.json", "evaluate")
    pairs = [(read_labels(s, TOY_CLASSES), read_mask(tmp_path / f"out/predictions/{s.id}.png")) for s in samples]
    stray = sum(int(((prediction == POND) & (labels != 255)).sum()) for labels, prediction in pairs)
    assert record.predicted_absent == {"pond": stray}
    *labelled, absent = record.iou_per_class.values()
    assert absent is None
    assert record.miou == pytest.approx(np.mean(np.array(labelled, dtype=float)))
    assert re.findall(r"\d+|`\w+`|test", record.miou_scope) == ["2", "3", "`pond`", "test"]
    assert record.miou_scope in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out/per_image.csv").open()))
    assert [row["id"] for row in rows] == [sample.id for sample in samples]
    for row, (labels, prediction) in zip(rows, pairs, strict=True):
        overlaps = [((labels == c) & (prediction == c), (labels == c) | (prediction == c)) for c in (0, 1)]
        ious = [hits.sum() / (union & (labels != 255)).sum() for hits, union in overlaps]
        assert float(row["miou"]) == pytest.approx(np.mean(ious), abs=1e-6)


def test_of_many_absent_classes_three_are_named() -> None:
    iou = {"road": 0.5, **dict.fromkeys("abcde")}
    assert re.findall(r"\d+|`\w+`|val", miou_scope(iou, "val")) == ["1", "6", "`a`", "`b`", "`c`", "2", "val"]
    assert miou_scope({"road": 0.5, "pole": 0.0}, "val") == ""
