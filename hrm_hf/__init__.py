"""hrm-hf: data, training and evaluation of the Hierarchical Reasoning Model on Hugging Face libraries.

The model itself is in the files next to the package (`configuration_hrm`, `modeling_hrm`, `processing_hrm`,
`pipeline_hrm`), which do not depend on it; their classes can be imported from here. The first such import registers
the model with transformers' Auto classes, and so does `import hrm_hf.auto`.
"""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from configuration_hrm import HRMConfig
    from modeling_hrm import HRMForCausalLM, HRMForGridTask, HRMModel
    from processing_hrm import HRMGridProcessor


__version__ = "0.1.0"

__all__ = ["HRMConfig", "HRMForCausalLM", "HRMForGridTask", "HRMGridProcessor", "HRMModel"]


def __getattr__(name: str):
    if name in __all__:
        from hrm_hf import auto

        return getattr(auto, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
