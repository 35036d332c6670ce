"""Uncertainty of shares."""

import math


def binomial_interval(share: float, n: int) -> list[float]:
    """95 % Wilson interval of a share of `n` independent trials, as `[low, high]`.

    Raises:
        ValueError: if `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n={n} is not allowed; a share needs at least one trial.")
    z = 1.959963984540054
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [round(max(0.0, centre - half), 5), round(min(1.0, centre + half), 5)]
