"""The gain of a method over the baseline, seed by seed, and its confidence interval."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

Verdict = Literal["gain", "no significant gain", "loss", "one seed: no verdict"]


class Gain(NamedTuple):
    """Differences from the baseline of the same seed."""

    differences: tuple[float, ...]
    mean: float
    low: float | None  # ends of the confidence interval of the mean; None with one seed
    high: float | None
    verdict: Verdict


def paired_gain(scores: Sequence[float], baseline: Sequence[float], confidence: float) -> Gain:
    """Compute Student's t interval of the mean paired difference; the verdict needs it on one side of zero.

    Pairs share initial weights, data order and recipe, so what a seed does to both cancels. The interval assumes
    normally distributed differences, and covers the choice of the seed only, not of the teacher or the data.

    Raises:
        ValueError: the numbers of scores differ, or there are none.
    """
    if len(scores) != len(baseline) or not len(scores):
        raise ValueError(f"{len(scores)} scores cannot be paired with {len(baseline)} of the baseline")
    differences = np.subtract(np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
    mean = float(differences.mean())
    if len(differences) == 1:
        return Gain((mean,), mean, None, None, "one seed: no verdict")
    standard_error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, df=len(differences) - 1)) * standard_error
    low, high = mean - reach, mean + reach
    verdict: Verdict = "gain" if low > 0 else "loss" if high < 0 else "no significant gain"
    return Gain(tuple(differences.tolist()), mean, low, high, verdict)
