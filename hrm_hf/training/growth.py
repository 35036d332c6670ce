"""Depth that grows during training: fields of the model's configuration that start with other values.

    grow_halt_max_steps: 2 until 0.2, 4 until 0.5, 8 until 0.8
    halt_max_steps: 16

Numbers after `until` are fractions of the run. After the last one, a field has the value that the recipe gives to the
field itself; evaluations and the saved model use this value, too. Values depend only on how much of the run is over,
so that a resumed run gets the same ones.
"""

import re
from collections.abc import Mapping
from dataclasses import fields

from configuration_hrm import HRMConfig


# fields that change no weights: each is read again in every forward pass
GROWING = ("halt_max_steps", "H_cycles", "L_cycles", "gradient_depth")
_EXAMPLE = "'2 until 0.2, 4 until 0.5'"

Value = int | str
Stages = list[tuple[Value, float]]  # values with the fraction of the run until which each applies, ascending


def parse_stages(option: str, name: str, text: str) -> Stages:
    """Read an option such as `2 until 0.2, 4 until 0.5`.

    Args:
        option: its name, for errors.
        name: of the field of the configuration.
        text: its value.

    Raises:
        ValueError: if it has another form, a fraction that is not between 0 and 1 or not above the one before it, or
            a value that the configuration refuses.
    """
    takes_numbers = next(field.type for field in fields(HRMConfig) if field.name == name) is int
    stages: Stages = []
    for part in text.split(","):
        match = re.fullmatch(r"(\w+) +until +([\w.+-]+)", part.strip())
        try:
            value = int(match[1]) if takes_numbers else match[1]
            until = float(match[2])
        except (TypeError, ValueError):
            raise ValueError(
                f"{option}={text!r} is not allowed; it must be values of {name} with the fraction of the run until "
                f"which each applies, such as {_EXAMPLE if takes_numbers else repr('last_step until 0.3')}."
            ) from None
        if not 0 < until < 1:
            raise ValueError(
                f"{option}={text!r} has the fraction {match[2]}, but a fraction must be above 0 and below 1; the last "
                f"part of the run uses the value of {name} itself."
            )
        if stages and until <= stages[-1][1]:
            raise ValueError(
                f"{option}={text!r} has the fraction {match[2]} after {stages[-1][1]:g}, but fractions must ascend; "
                "put them in order."
            )
        try:
            HRMConfig(**{name: value})
        except ValueError as error:
            raise ValueError(f"{option}={text!r} has a value that is not allowed: {error}") from error
        stages.append((value, until))
    return stages


class Growth:
    """The fields of a run that grow.

    Args:
        stages: of each field, by its name.
        config: of the model, with the final values.

    Attributes:
        final: the final value of each field.
    """

    def __init__(self, stages: Mapping[str, Stages], config: HRMConfig):
        self.stages = stages
        self.final: dict[str, Value] = {name: getattr(config, name) for name in stages}

    def values(self, share: float) -> dict[str, Value]:
        """The value of each field when this fraction of the run is over."""
        return {
            name: next((value for value, until in stages if share < until), self.final[name])
            for name, stages in self.stages.items()
        }
