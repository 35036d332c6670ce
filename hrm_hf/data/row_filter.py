"""Rows of a split by source and rating."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RowFilter:
    """Which rows to keep; the default keeps all.

    Attributes:
        sources: keep rows of these sources; of any, if empty.
        lowest, highest: keep ratings in this range, both ends included; `None` for no bound.
    """

    sources: Collection[str] = ()
    lowest: float | None = None
    highest: float | None = None

    def rows(self, columns: Mapping[str, np.ndarray], num_rows: int) -> np.ndarray:
        """Numbers of the rows to keep, in order, `(kept,)` int64.

        Args:
            columns: of the split; only `source` and `rating` are used.
            num_rows: of the split.

        Raises:
            ValueError: if the rows lack a column that is needed, or the range is empty.
        """
        kept = np.ones(num_rows, dtype=bool)
        if self.sources:
            kept &= np.isin(_column(columns, "source"), list(self.sources))
        if self.lowest is not None and self.highest is not None and self.lowest > self.highest:
            raise ValueError(
                f"No rating is from {self.lowest:g} to {self.highest:g}; give the lower bound of the range first."
            )
        if self.lowest is not None:
            kept &= _column(columns, "rating") >= self.lowest
        if self.highest is not None:
            kept &= _column(columns, "rating") <= self.highest
        return np.flatnonzero(kept)


def _column(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in columns:
        raise ValueError(f"These rows have no {name} to choose by; leave it out.")
    return columns[name]
