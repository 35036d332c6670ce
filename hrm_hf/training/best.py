"""The best evaluation of a run so far."""

from typing import Any


class Best:
    """Remembers the best evaluation.

    Args:
        name: of the score to compare.
        larger_is_better: whether higher is better.
    """

    def __init__(self, name: str, larger_is_better: bool):
        self.name, self.larger_is_better = name, larger_is_better
        self.value: float | None = None
        self.step = 0

    def update(self, step: int, scores: dict[str, Any]) -> bool:
        """Add an evaluation; whether it is the best so far."""
        value = scores[self.name]
        is_best = self.value is None or (value > self.value if self.larger_is_better else value < self.value)
        if is_best:
            self.value, self.step = value, step
        return is_best

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"value": self.value, "step": self.step}

    def restore(self, state: dict[str, Any]):
        """Restore a `state`."""
        self.value, self.step = state["value"], state["step"]
