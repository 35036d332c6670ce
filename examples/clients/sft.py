"""Fine-tune the text model of the package with TRL, several texts per row (needs `pip install trl`).

python examples/clients/sft.py
"""

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from hrm_hf.checkpoints import SHIPPED_TEXT


places = ("Bern", "Lund", "Graz", "Ghent")
rows = Dataset.from_list([{"text": f"The old clock of {place} struck forty-two."} for place in places] * 25)
options = SFTConfig(
    "runs/sft",
    max_steps=12,
    learning_rate=3e-4,
    logging_steps=4,
    packing=True,
    packing_strategy="wrapped",
    max_length=64,
    bf16=False,
    use_cpu=True,
    report_to="none",
    disable_tqdm=True,
)
tokenizer = AutoTokenizer.from_pretrained(SHIPPED_TEXT)
model = AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)
trainer = SFTTrainer(model, args=options, train_dataset=rows, processing_class=tokenizer)
trainer.train()
prompt = tokenizer("The old clock of York", return_tensors="pt")
print(repr(tokenizer.decode(model.generate(**prompt, max_new_tokens=8, do_sample=False)[0], skip_special_tokens=True)))
