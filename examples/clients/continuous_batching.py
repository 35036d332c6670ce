"""Continue several prompts at once with the text model of the package: transformers' continuous batching.

python examples/clients/continuous_batching.py
"""

from transformers import AutoModelForCausalLM, AutoTokenizer, ContinuousBatchingConfig

from hrm_hf.checkpoints import SHIPPED_TEXT


tokenizer = AutoTokenizer.from_pretrained(SHIPPED_TEXT)
model = AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)
prompts = tokenizer(["Once upon a time", "The ship", "In the evening he"])["input_ids"]
# on a CPU, set the number of pages; by default they take most of the memory
pages = ContinuousBatchingConfig(page_size=32, num_blocks=16, max_batch_tokens=256)
outputs = model.generate_batch(prompts, max_new_tokens=12, continuous_batching_config=pages)
for prompt, output in zip(prompts, outputs.values(), strict=True):
    print(repr(tokenizer.decode([*prompt, *output.generated_tokens], skip_special_tokens=True)))
