"""What a method gains, seed by seed, and how sure that is."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

Verdict = Literal["gain", "no significant gain", "loss", "one seed: no verdict"]


class Gain(NamedTuple):
    """Differences to the baseline of the same seed."""

    differences: tuple[float, ...]
    mean: float
    low: float | None  # of the confidence interval of the mean; None for one seed
    high: float | None
    verdict: Verdict


def paired_gain(scores: Sequence[float], baseline: Sequence[float], confidence: float) -> Gain:
    """Student's t interval of the mean of the paired differences; a verdict where it lies on one side of zero.

    Pairs share initial weights, data order and recipe, so what a seed does to both cancels. The interval assumes that
    differences are normally distributed, and speaks of seeds only: not of other teachers or other data.

    Raises:
        ValueError: numbers of scores differ, or there are none.
    """
    differences = np.subtract(np.asarray(scores, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
    if len(scores) != len(baseline) or not len(scores):
        raise ValueError(f"{len(scores)} scores cannot be paired with {len(baseline)} of the baseline")
    mean = float(differences.mean())
    if len(differences) == 1:
        return Gain((mean,), mean, None, None, "one seed: no verdict")
    standard_error = float(differences.std(ddof=1)) / len(differences) ** 0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, df=len(differences) - 1)) * standard_error
    low, high = mean - reach, mean + reach
    verdict: Verdict = "gain" if low > 0 else "loss" if high < 0 else "no significant gain"
    return Gain(tuple(differences.tolist()), mean, low, high, verdict)
