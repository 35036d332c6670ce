"""splitmix64 (Steele, Lea and Flood, 2014): random numbers that depend only on a place, for tensors and arrays."""

import numpy as np
import torch


# as signed 64-bit integers, which wrap around in the same way as unsigned ones
_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15


def random_keys(draws: torch.LongTensor, seed: int, count: int) -> torch.LongTensor:
    """Random 64-bit integers `(batch, count)`, a function of seed, draw and column; on the device of `draws`."""
    stream = _mix(draws * _GOLDEN + _mix(torch.full_like(draws, seed)))
    columns = torch.arange(1, count + 1, device=draws.device)
    return _mix(stream.unsqueeze(1) + columns * _GOLDEN)


def _mix(values: torch.LongTensor) -> torch.LongTensor:
    values = (values ^ shift_right(values, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    values = (values ^ shift_right(values, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return values ^ shift_right(values, 31)


def shift_right(values: torch.LongTensor, bits: int) -> torch.LongTensor:
    """Logical shift; `>>` on signed integers extends the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def combine(*values: np.ndarray) -> np.ndarray:
    """Hash of several uint64 arrays, in this order; sums of hashes wrap around, which does no harm."""
    combined = np.uint64(0)
    for value in values:
        combined = mix_array(combined * np.uint64(0x9E3779B97F4A7C15) + value)
    return combined


def mix_array(values: np.ndarray) -> np.ndarray:
    """Hash of each number of a uint64 array."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
