"""Teach the text model of the package one sentence with LoRA (needs `pip install peft`).

python examples/clients/lora.py
"""

from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

from hrm_hf.checkpoints import SHIPPED_TEXT


# PEFT has no default for HRM: name the layers, or use "all-linear"
LINEAR_LAYERS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]

tokenizer = AutoTokenizer.from_pretrained(SHIPPED_TEXT)
model = AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)
model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=LINEAR_LAYERS, r=8))
model.print_trainable_parameters()

sentences = [f"The old clock of {place} struck forty-two." for place in ("Bern", "Lund", "Graz", "Ghent")] * 25
rows = Dataset.from_dict(dict(tokenizer(sentences)))
options = TrainingArguments(
    "runs/lora", max_steps=12, learning_rate=3e-3, logging_steps=4, report_to="none", disable_tqdm=True, use_cpu=True
)
Trainer(model, options, DataCollatorForLanguageModeling(tokenizer, mlm=False), rows).train()
model.save_pretrained("runs/lora/adapter")

base = AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)
tuned = PeftModel.from_pretrained(base, "runs/lora/adapter").merge_and_unload()
prompt = tokenizer("The old clock of York", return_tensors="pt")
for name, writer in (("before", AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)), ("after", tuned)):
    tokens = writer.generate(**prompt, max_new_tokens=8, do_sample=False)
    print(f"{name}: {tokenizer.decode(tokens[0], skip_special_tokens=True)!r}")
