"""The learning rate as a function of only the step, so that there is nothing to save."""

import math


def learning_rate_factor(
    step: float,
    warmup_steps: int,
    total_steps: int,
    min_ratio: float,
    decay_share: float | None = None,
    progress: float | None = None,
) -> float:
    """Linear warm-up, then a decay from 1 down to `min_ratio` (1.0: constant, the original's default).

    Args:
        step (`int`): 0 before the first update; the update number `n` uses the factor of step `n`.
        warmup_steps (`int`), total_steps (`int`): where warm-up and schedule end.
        min_ratio (`float`): factor at the end.
        decay_share (`float`, *optional*): the factor stays at 1 and falls linearly in this last fraction of all steps;
            by default it follows a cosine from the end of the warm-up, as in the original.
        progress (`float`, *optional*): fraction of the run that is over, for runs that end by time and not by step; by
            default `step / total_steps`. The warm-up is always counted in steps.

    Returns:
        `float`: factor of the base learning rate.
    """
    if step < warmup_steps:
        return step / warmup_steps
    if progress is not None:
        step = max(progress * total_steps, warmup_steps)
    if decay_share is not None:
        left = (total_steps - step) / max(1.0, decay_share * total_steps)
        return min_ratio + (1 - min_ratio) * min(1.0, max(0.0, left))
    turned = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return min_ratio + max(0.0, (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * turned)))
