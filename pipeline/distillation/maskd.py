"""Masked Knowledge Distillation (MasKD), arXiv 2205.14589, the segmentation form: on the logits of both heads."""

from typing import Annotated, Self

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from models.segmenter import Segmenter
from pipeline.distillation.dist import auxiliary_logits
from pipeline.distillation.method import (
    CellLabels,
    Labels,
    Logits,
    Method,
    Output,
    Preparation,
    Scalar,
    at_least_float32,
)
from pipeline.params.sections import NonNegative, Positive, section
from pipeline.training.objective import Loss, Objective, Task, cross_entropy

TOKEN_STD = 0.01  # standard deviation of a token's initial values
CELLS_EPSILON = 1e-5  # added to the sum of a mask over its cells
DICE_EPSILON = 1e-12  # added to the squared length of a mask

Tokens = Float[Tensor, "t k"]
Masks = Float[Tensor, "n t h w"]


class MasKD(Method):
    """Each learned token selects a soft region by the teacher's scores; all regions count the same.

    The tokens are trained before the student, and then frozen: see `TokenObjective`.
    """

    @section
    class Params:
        """Defaults are the authors'."""

        tokens: Annotated[int, Field(ge=2)] = 8  # number of regions, one token each; one region alone has no overlap
        auxiliary_weight: NonNegative = 0.4  # weight of the same loss on the auxiliary heads, with the same tokens
        iterations_share: Positive = 0.25  # training iterations of the tokens, as a share of the student's
        learning_rate: Positive = 0.1  # learning rate of the tokens at the start; it falls polynomially

    params: Params
    needs_auxiliary_heads = True

    def __init__(self, params: Params, student: Segmenter, teacher: Segmenter, iterations: int):
        super().__init__(params, student, teacher, iterations)
        self.tokens = ReceptiveTokens(params.tokens, teacher.classes).requires_grad_(False)

    def preparation(self, teacher: Segmenter, task: Task) -> Preparation:
        objective = TokenObjective(self.tokens, teacher, task)
        return Preparation(objective, self.params.iterations_share, self.params.learning_rate)

    def forward(self, student: Output, teacher: Output, labels: CellLabels) -> Scalar:
        auxiliary = masked_distance(*auxiliary_logits(student, teacher), self.tokens.vectors)
        main = masked_distance(student.logits, teacher.logits, self.tokens.vectors)
        return main + self.params.auxiliary_weight * auxiliary


class ReceptiveTokens(nn.Module):
    """One vector for each token, with a weight for the score of each class."""

    def __init__(self, tokens: int, classes: int):
        super().__init__()
        self.vectors = nn.Parameter(TOKEN_STD * torch.randn(tokens, classes))


class TokenObjective(Objective):
    """The tokens' loss: cross-entropy of the teacher's masked scores, plus the overlap of the masks.

    The auxiliary head's term is left out, because it does not depend on the tokens. All labelled pixels count the same.
    Of the optimizer's settings, only the learning rate is the authors'. Momentum (theirs: 0.9), weight decay (theirs:
    1e-3) and the end of the schedule (theirs: 0) come from section `training`. The teacher is in eval mode. The
    authors' script has it in train mode, where its BatchNorm statistics drift.
    """

    def __init__(self, tokens: ReceptiveTokens, teacher: Segmenter, task: Task):
        super().__init__()
        self.tokens = tokens.requires_grad_(True)
        self.teacher = teacher.requires_grad_(False)
        self.task = task

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.teacher.eval()
        return self

    def compare(self, image: Float[Tensor, "n 3 H W"], labels: Labels) -> Loss:
        with torch.no_grad():
            teacher = self.teacher(image, self.task.image_scale).logits
        task, dice = token_losses(self.tokens.vectors, teacher, labels, self.task.mean)
        return Loss(task + dice, None, {"task": task.detach(), "dice": dice.detach()}, {})


@at_least_float32
def masked_distance(student: Logits, teacher: Logits, tokens: Tokens) -> Scalar:
    """Return half the squared difference inside each mask, divided by the mask's sum.

    It is averaged over images, tokens and classes. The mask is squared too, as in the authors' code.
    """
    masks = token_masks(tokens, teacher).flatten(2)
    squares = (student - teacher).square().flatten(2)
    inside = masks.square() @ squares.transpose(1, 2)  # n t k
    return 0.5 * (inside / (masks.sum(dim=2, keepdim=True) + CELLS_EPSILON)).mean()


@at_least_float32
def token_losses(tokens: Tokens, teacher: Logits, labels: Labels, mean: str) -> tuple[Scalar, Scalar]:
    """Return the cross-entropy of the logits times the sum of all masks, and the overlap of the masks."""
    masks = token_masks(tokens, teacher)
    return cross_entropy(masks.sum(dim=1, keepdim=True) * teacher, labels, mean), overlap(masks)


def token_masks(tokens: Tokens, teacher: Logits) -> Masks:
    """Return the sigmoid of each token's product with the scores of each cell."""
    return torch.einsum("tk,nkhw->nthw", tokens, teacher).sigmoid()


def overlap(masks: Masks) -> Scalar:
    """Return the Dice coefficient of two masks, averaged over images and pairs; 1 if all masks are equal."""
    flat = masks.flatten(2)
    products = flat @ flat.transpose(1, 2)  # n t t
    squares = products.diagonal(dim1=1, dim2=2) + DICE_EPSILON
    dice = 2 * products / (squares[:, :, None] + squares[:, None, :])
    pairs = masks.shape[1] * (masks.shape[1] - 1) / 2
    return dice.triu(diagonal=1).sum(dim=(1, 2)).mean() / pairs
