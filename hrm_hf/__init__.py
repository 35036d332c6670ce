"""hrm-hf: data, training and evaluation of the Hierarchical Reasoning Model on Hugging Face libraries.

Importing this package registers the model with transformers' Auto classes, so that a saved folder loads without
`trust_remote_code`, and the pipeline `grid-solving`. The model itself is in the files beside the package
(`configuration_hrm`, `modeling_hrm`, `processing_hrm`, `pipeline_hrm`), which know nothing of it.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from configuration_hrm import HRMConfig
from modeling_hrm import HRMForCausalLM, HRMForGridTask, HRMModel
from pipeline_hrm import HRMGridSolvingPipeline
from processing_hrm import HRMGridProcessor


__version__ = "0.1.0"

AutoConfig.register(HRMConfig.model_type, HRMConfig, exist_ok=True)
# of several classes transformers takes the one that the checkpoint's `architectures` names, else the first, which is
# what AutoModel is for a model of text: its features, without a head
AutoModel.register(HRMConfig, (HRMModel, HRMForGridTask), exist_ok=True)
AutoModelForCausalLM.register(HRMConfig, HRMForCausalLM, exist_ok=True)
AutoProcessor.register(HRMConfig, HRMGridProcessor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline("grid-solving", pipeline_class=HRMGridSolvingPipeline, pt_model=AutoModel)

__all__ = ["HRMConfig", "HRMForCausalLM", "HRMForGridTask", "HRMGridProcessor", "HRMModel"]
