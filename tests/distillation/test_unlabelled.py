"""Unlabelled images: the teacher chooses, and a student learns from them by distillation alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import load_checkpoint, save_checkpoint
from models.segmenter import SegmentationOutput
from pipeline.code_digest import ROOT
from pipeline.data.samples import Sample, read_samples, write_samples
from pipeline.distillation import METHODS
from pipeline.distillation.method import run_methods
from pipeline.distillation.student import train_student
from pipeline.distillation.unlabelled import choose_unlabelled
from pipeline.errors import DatasetError
from pipeline.params.tree import Params, load_params
from tests.distillation.outputs import build_method
from tests.raising import raises
from tests.toy import toy_pair, toy_segmenter, write_toy_samples

CPU = torch.device("cpu")


class Brightness(torch.nn.Module):
    """A teacher that is the surer, the brighter the image."""

    def forward(self, image: torch.Tensor) -> SegmentationOutput:
        level = image.mean(dim=(1, 2, 3))[:, None, None, None] * torch.tensor([10.0, 0.0])[None, :, None, None]
        logits = level.expand(-1, -1, 2, 2)
        return SegmentationOutput(logits, None, logits, logits)


def _unlabelled(folder: Path, levels: list[int]) -> list[Sample]:
    samples = []
    for index, level in enumerate(levels):
        image = folder / f"u{index}.png"
        Image.fromarray(np.full((48, 64, 3), level, np.uint8)).save(image)
        samples.append(Sample(f"u{index}", "unlabelled", f"u{index}", image, None, "", ""))
    return samples


@pytest.mark.parametrize(("share", "chosen"), [(0.5, ["u1", "u3"]), (1.0, ["u0", "u1", "u2", "u3"]), (0.01, ["u3"])])
def test_the_teacher_takes_what_it_is_surest_of(tmp_path: Path, share: float, chosen: list[str]) -> None:
    samples = _unlabelled(tmp_path, [10, 150, 60, 240])
    found = choose_unlabelled(samples, Brightness(), share, batch_size=3, device=CPU)  # type: ignore[reportArgumentType]
    assert [sample.id for sample in found] == chosen


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def _train(params: Params, folder: Path, share: float, out: str) -> None:
    run = params.runs["pspnet_r18"]
    network = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    training = replace(params.training, crop_height=32, crop_width=48, batch_size=4, workers=0, log_every=1)
    train_student(
        name=out,
        run=replace(run, network=network, iterations=3, distill={"kd": 1.0}, unlabelled_share=share),
        methods=run_methods(["kd"], {}),
        code="",
        training=training,
        classes=folder / "classes.json",
        samples=folder / "samples.csv",
        statistics=folder / "statistics.json",
        teacher=folder / "teacher.safetensors",
        source=folder / "teacher.safetensors",
        pretrained=folder / "none",
        scratch=folder / "scratch",
        out=folder / out,
    )


def test_a_student_learns_from_them_and_says_so(params: Params, tmp_path: Path) -> None:
    labelled = read_samples(write_toy_samples(tmp_path))
    extra = []
    for index in range(4):
        image, _ = toy_pair(100 + index)
        (sample,) = _unlabelled(tmp_path, [0])
        sample = sample._replace(id=f"extra{index}", image=tmp_path / f"extra{index}.png")
        Image.fromarray(image).save(sample.image)
        extra.append(sample)
    write_samples(tmp_path / "samples.csv", [*labelled, *extra])
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "method": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, tmp_path / "teacher.safetensors")
    _train(params, tmp_path, 0.0, "without")
    _train(params, tmp_path, 1.0, "with")
    without, _, plain = load_checkpoint(tmp_path / "without/checkpoint.safetensors")
    taught, _, recorded = load_checkpoint(tmp_path / "with/checkpoint.safetensors")
    assert (plain["method"], recorded["method"]) == ("kd", "kd+unlabelled")
    assert not torch.equal(without.classifier.weight, taught.classifier.weight)


def test_without_such_images_it_says_so(params: Params, tmp_path: Path) -> None:
    write_toy_samples(tmp_path)
    segmenter, design = toy_segmenter()
    facts = {"backbone_weights": "none", "method": "none", "precision": "fp32"}
    save_checkpoint(segmenter, design, facts, tmp_path / "teacher.safetensors")
    with raises(DatasetError, "samples.csv", "'unlabelled'"):
        _train(params, tmp_path, 0.5, "with")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_bears_a_batch_without_a_label(name: str) -> None:
    torch.manual_seed(0)
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    method = build_method(name, {}, student, teacher, 10)
    image = torch.rand(2, 3, 48, 64)
    with torch.no_grad():
        theirs = teacher.eval()(image)
    loss = method(student.train()(image), theirs, torch.full((2, 3, 4), 255))
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in student.parameters() if p.grad is not None)
