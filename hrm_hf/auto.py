"""Importing this module registers the model with transformers' Auto classes, and the pipeline `grid-solving`.

A saved folder then loads without `trust_remote_code`. Importing a class from `hrm_hf` imports this; `import hrm_hf`
alone does not, because transformers takes seconds to load and `hrm-hf --help` should not.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from configuration_hrm import HRMConfig
from modeling_hrm import HRMForCausalLM, HRMForGridTask, HRMModel
from pipeline_hrm import HRMGridSolvingPipeline
from processing_hrm import HRMGridProcessor


AutoConfig.register(HRMConfig.model_type, HRMConfig, exist_ok=True)
# transformers takes the class named in the checkpoint's `architectures`, otherwise the first one, which is what
# AutoModel means for a text model: features without a head
AutoModel.register(HRMConfig, (HRMModel, HRMForGridTask), exist_ok=True)
AutoModelForCausalLM.register(HRMConfig, HRMForCausalLM, exist_ok=True)
AutoProcessor.register(HRMConfig, HRMGridProcessor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline("grid-solving", pipeline_class=HRMGridSolvingPipeline, pt_model=AutoModel)

__all__ = ["HRMConfig", "HRMForCausalLM", "HRMForGridTask", "HRMGridProcessor", "HRMModel"]
