"""MasKD: the authors' numbers, both losses in slow loops, and tokens that learn before the student and never again."""

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.checkpoint import save_checkpoint
from pipeline.code_digest import ROOT
from pipeline.distillation.maskd import MasKD, TokenObjective, masked_distance, overlap, token_losses, token_masks
from pipeline.distillation.method import run_methods
from pipeline.distillation.objective import DistillationObjective
from pipeline.distillation.student import train_student
from pipeline.params.runs import RunParams
from pipeline.params.tree import load_params
from pipeline.training.loop import STATE
from pipeline.training.progress import TrainingProgress
from tests.distillation.agreement import Arrays, assert_agrees, assert_gradient, in_single_precision
from tests.distillation.outputs import make
from tests.toy import TOY_TASK, toy_segmenter, toy_training, write_toy_samples
from tests.vectors.reading import Vector


@pytest.mark.vectors("maskd")
def test_agrees_with_the_authors(vector: Vector) -> None:
    assert_agrees(vector, lambda a: masked_distance(a["logit_s"], a["logit_t"], a["tokens"]), student="logit_s")


@pytest.mark.vectors("maskd")
def test_tokens_learn_as_the_authors_do(vector: Vector) -> None:
    def losses(arrays: Arrays) -> tuple[Tensor, Tensor]:
        labels = arrays["label"].masked_fill(arrays["label"] == -1, 255)
        return token_losses(arrays["tokens"], arrays["logit_t"], labels, "labelled_pixels")

    arrays = vector.arrays()
    arrays["tokens"].requires_grad_()
    task, dice = losses(arrays)
    (task + dice).backward()
    assert task.item() == pytest.approx(vector.expected["token_task"], rel=1e-8)
    assert dice.item() == pytest.approx(vector.expected["dice"], rel=1e-8)
    assert_gradient(arrays["tokens"].grad, arrays["grad_tokens"])
    masked_sum = token_masks(arrays["tokens"], arrays["logit_t"]).sum(dim=1, keepdim=True) * arrays["logit_t"]
    torch.testing.assert_close(masked_sum, arrays["masked_sum"], rtol=1e-8, atol=0)

    for single, exact in zip(losses(in_single_precision(vector.arrays())), (task, dice), strict=True):
        assert single.dtype == torch.float32
        assert single.item() == pytest.approx(exact.item(), rel=1e-4)


def _random() -> tuple[Tensor, Tensor, Tensor]:
    """Logits of student and teacher, and tokens."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    return student, teacher, torch.randn(4, 3, dtype=torch.float64)


def test_the_distance_is_its_definition() -> None:
    student, teacher, tokens = _random()
    terms = []
    for ours, theirs in zip(student.flatten(2), teacher.flatten(2), strict=True):
        for token in tokens:
            mask = [1 / (1 + (-(token @ theirs[:, cell])).exp()) for cell in range(20)]
            for k in range(3):
                inside = sum((mask[cell] * (ours[k, cell] - theirs[k, cell])) ** 2 for cell in range(20))
                terms.append(inside / (sum(mask) + 1e-5))
    expected = 0.5 * sum(terms) / len(terms)
    assert masked_distance(student, teacher, tokens).item() == pytest.approx(float(expected), rel=1e-12)


def test_the_overlap_is_its_definition() -> None:
    _, teacher, tokens = _random()
    masks = token_masks(tokens, teacher)
    pairs = [pair for image in masks for pair in permutations(image, 2)]
    assert len(pairs) == 2 * 4 * 3
    dice = [2 * (a * b).sum() / ((a * a).sum() + (b * b).sum() + 2e-12) for a, b in pairs]
    assert overlap(masks).item() == pytest.approx(float(sum(dice) / len(dice)), rel=1e-12)


def test_equal_masks_overlap_wholly_and_disjoint_ones_do_not() -> None:
    mask = (torch.rand(2, 1, 4, 5) > 0.5).float()
    assert overlap(mask.expand(-1, 3, -1, -1)).item() == pytest.approx(1.0)
    assert overlap(torch.cat([mask, 1 - mask], dim=1)).item() == 0.0


def test_zero_at_the_teacher_and_cells_outside_of_every_mask_do_not_matter() -> None:
    student, teacher, tokens = _random()
    assert masked_distance(teacher, teacher, tokens).item() == 0.0
    teacher[..., 0, 0] = -1e4  # no token of positive weights selects it
    student.requires_grad_()
    masked_distance(student, teacher, tokens.abs()).backward()
    assert student.grad is not None
    assert student.grad[..., 0, 0].abs().max() == 0
    assert student.grad[..., 1, 1].abs().max() > 0


def test_regions_count_the_same_whatever_their_size() -> None:
    """One class is everywhere but in one cell: the token of either has half of the loss, for the same difference."""
    teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4).clone()
    teacher[..., 0, 0] = torch.tensor([0.0, 1.0])
    large, small = 200 * torch.eye(2) - 100
    alone = [masked_distance(teacher + 0.1, teacher, token[None]).item() for token in (large, small)]
    assert alone == pytest.approx([0.5 * 0.01] * 2, rel=1e-3)


def _token_objective() -> TokenObjective:
    torch.manual_seed(0)
    teacher = toy_segmenter()[0]
    preparation = make(MasKD, teacher, teacher).preparation(teacher, TOY_TASK)
    assert isinstance(preparation.objective, TokenObjective)
    return preparation.objective


def _crops() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(2, 3, 48, 64), torch.randint(3, (2, 48, 64))


def test_only_the_tokens_learn_before_the_student() -> None:
    objective = _token_objective().train()
    before = {name: tensor.clone() for name, tensor in objective.teacher.state_dict().items()}
    loss = objective.compare(*_crops())
    loss.total.backward()
    assert loss.total.item() == pytest.approx(loss.terms["task"].item() + loss.terms["dice"].item())
    assert [name for name, weight in objective.named_parameters() if weight.grad is not None] == ["tokens.vectors"]
    assert all(torch.equal(before[name], tensor) for name, tensor in objective.teacher.state_dict().items())


def test_tokens_learn_in_half_precision_and_compiled() -> None:
    objective, crops = _token_objective().train(), _crops()
    exact = objective.compare(*crops).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = objective.compare(*crops).total
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.05)
    torch._dynamo.reset()
    compiled = torch.compile(objective.compare, fullgraph=True, backend="eager")(*crops).total
    assert compiled.item() == pytest.approx(exact.item(), rel=1e-5)


def test_frozen_tokens_are_not_clipped() -> None:
    student, teacher = toy_segmenter()[0], toy_segmenter()[0]
    objective = DistillationObjective(student, teacher, {"maskd": make(MasKD, student, teacher)}, {}, TOY_TASK)
    assert objective.grad_clip_groups() == [student]


class Killed(Exception):
    pass


@pytest.fixture
def recipe(tmp_path: Path) -> RunParams:
    """A run of 8 iterations whose tokens learn in 4, with its samples and teacher in the folder."""
    write_toy_samples(tmp_path)
    teacher, design = toy_segmenter()
    save_checkpoint(teacher, design, {}, tmp_path / "teacher.safetensors")
    run = load_params(ROOT / "params.yaml").runs["pspnet_r18"]
    network = replace(run.network, backbone="resnet10t", head_channels=16, auxiliary_channels=16)
    return replace(run, network=network, iterations=8, distill={"maskd": 1.0})


def _train(run: RunParams, folder: Path, name: str) -> dict[str, Tensor]:
    """The student that is trained, and the tokens that it and their own training ended with."""
    train_student(
        name=name, run=run, methods=run_methods(["maskd"], {"maskd": {"iterations_share": 0.5}}), code="",
        training=toy_training(log_every=1, checkpoint_every=3), classes=folder / "classes.json",
        samples=folder / "samples.csv", statistics=folder / "statistics.json",
        teacher=folder / "teacher.safetensors", scratch=folder / "scratch", out=folder / name,
    )  # fmt: skip
    (state,) = (folder / "scratch" / name).glob(f"*/{STATE}")
    (first,) = (folder / "scratch" / name).glob(f"*/maskd/{STATE}")
    students, own = load_file(state)["module.methods.maskd.tokens.vectors"], load_file(first)["module.tokens.vectors"]
    return load_file(folder / name / "checkpoint.safetensors") | {"in the student's": students, "own": own}


def test_a_student_does_not_change_the_tokens(recipe: RunParams, tmp_path: Path) -> None:
    trained = _train(recipe, tmp_path, "whole")
    assert torch.equal(trained["in the student's"], trained["own"])
    shorter = _train(replace(recipe, iterations=2), tmp_path, "shorter")
    assert not torch.equal(shorter["own"], trained["own"])  # they did learn: the same beginning, fewer iterations


@pytest.mark.parametrize("killed_in", ["cut maskd", pytest.param("cut", marks=pytest.mark.slow)])
def test_a_resumed_training_ends_where_the_uninterrupted_one_does(
    killed_in: str, recipe: RunParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _train(recipe, tmp_path, "whole")

    def die_at_four(self: TrainingProgress, iteration: int, terms: dict[str, float]) -> None:
        if self.name == killed_in and iteration == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "show", die_at_four)
        with pytest.raises(Killed):
            _train(recipe, tmp_path, "cut")
    assert not (tmp_path / "cut").exists()
    resumed = _train(recipe, tmp_path, "cut")
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
