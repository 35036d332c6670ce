"""Evaluate the text model of the package with transformers' Trainer and a custom metric.

python examples/clients/trainer.py
"""

from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

from hrm_hf.checkpoints import SHIPPED_TEXT


def compute_metrics(evaluation) -> dict[str, float]:
    """Share of the tokens that the model predicts as most likely; predictions are its logits."""
    likeliest, labels = evaluation.predictions.argmax(-1)[:, :-1], evaluation.label_ids[:, 1:]
    return {"token_accuracy": float((likeliest == labels).mean())}


tokenizer = AutoTokenizer.from_pretrained(SHIPPED_TEXT)
model = AutoModelForCausalLM.from_pretrained(SHIPPED_TEXT)
ids = tokenizer(Path("LICENSE").read_text())["input_ids"]
blocks = [ids[start : start + 128] for start in range(0, len(ids) - 128, 128)]
rows = Dataset.from_dict({"input_ids": blocks, "labels": blocks})
options = TrainingArguments("runs/trainer", report_to="none", disable_tqdm=True, use_cpu=True)
scores = Trainer(model, options, eval_dataset=rows, compute_metrics=compute_metrics).evaluate()
print({name: round(scores[name], 3) for name in ("eval_loss", "eval_token_accuracy")})
