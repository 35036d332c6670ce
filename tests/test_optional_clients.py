"""PEFT, TRL and lm-evaluation-harness, as in docs/clients.md; skipped if not installed."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from test_causal_lm import make_model, tokenizer  # noqa: F401  a fixture

from modeling_hrm import HRMForCausalLM, HRMForGridTask


# --- PEFT


def adapters() -> dict:
    """Configurations of PEFT by name."""
    peft = pytest.importorskip("peft")
    linear = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    return {
        "LoRA of all linear layers": peft.LoraConfig(target_modules="all-linear", r=4),
        "LoRA of the embedding": peft.LoraConfig(target_modules=[*linear, "embed_tokens"], r=4),
        "LoRA of the halting head": peft.LoraConfig(target_modules=["q_head"], r=2),
        "tokens of the embedding": peft.LoraConfig(
            target_modules=linear, r=4, trainable_token_indices={"embed_tokens": [3, 4]}
        ),
        "whole layers beside LoRA": peft.LoraConfig(
            target_modules=linear, r=4, modules_to_save=["embed_tokens", "q_head", "lm_head"]
        ),
        "DoRA": peft.LoraConfig(target_modules=linear, r=4, use_dora=True),
        "IA3": peft.IA3Config(target_modules=["qkv_proj", "down_proj"], feedforward_modules=["down_proj"]),
    }


NAMES = [
    "LoRA of all linear layers",
    "LoRA of the embedding",
    "LoRA of the halting head",
    "tokens of the embedding",
    "whole layers beside LoRA",
    "DoRA",
    "IA3",
]


def train(model: torch.nn.Module, inputs: dict, steps: int = 4) -> tuple[float, float]:
    """Losses before and after a few steps on the same batch."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, losses = torch.optim.Adam(parameters, lr=3e-2), []
    for _ in range(steps):
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses[0], losses[-1]


@pytest.mark.parametrize(
    ("name", "kind"), [*zip(NAMES[:5], ["text"] * 5, strict=True), *zip(NAMES, ["grid"] * 7, strict=True)]
)
def test_peft_trains_saves_and_merges(tmp_path, small_model, batch, name, kind):
    config = adapters()[name]
    from peft import PeftModel, get_peft_model

    def base():
        return make_model(H_cycles=1, halt_max_steps=2) if kind == "text" else small_model(H_cycles=1)

    labels = batch["input_ids"] + 3 if kind == "text" else batch["labels"]
    inputs = {"input_ids": batch["input_ids"] + (3 if kind == "text" else 0), "labels": labels}
    model = get_peft_model(base(), config)
    before, after = train(model.eval(), inputs)
    assert after < before
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(**inputs).logits
        loaded = PeftModel.from_pretrained(base(), tmp_path).eval()
        torch.testing.assert_close(loaded(**inputs).logits, expected)
        merged = loaded.merge_and_unload()
        torch.testing.assert_close(merged(**inputs).logits, expected, rtol=1e-3, atol=1e-4)
    assert type(merged) is (HRMForCausalLM if kind == "text" else HRMForGridTask)
    if kind == "text":
        tokens = merged.generate(inputs["input_ids"][:, :5], max_new_tokens=4, do_sample=False, eos_token_id=None)
        assert tokens.shape == (6, 9)
    else:
        assert merged.solve(batch["input_ids"]).predictions.shape == (6, 16)


def test_an_adapter_generates_with_a_cache():
    config = adapters()["LoRA of all linear layers"]
    from peft import get_peft_model

    torch.manual_seed(0)
    model = get_peft_model(make_model(), config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)  # with large weights rounding grows
    options = {"input_ids": torch.arange(3, 10)[None], "max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    for depth in ({}, {"max_segments": 5}, {"halt_threshold": 0.6}):
        plain = model.generate(**options, **depth, use_cache=False)
        assert torch.equal(model.generate(**options, **depth, use_cache=True), plain)


def test_prompt_tuning():
    peft = pytest.importorskip("peft")
    ids = torch.arange(3, 27).view(2, 12)
    model = peft.get_peft_model(make_model(), peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    before, after = train(model.eval(), {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)})
    assert after < before
    tokens = model.generate(input_ids=ids, max_new_tokens=3, do_sample=False, eos_token_id=None)
    assert tokens.shape == (2, 15)


def test_peft_has_no_default_target():
    """As docs/clients.md and the model cards say; update them if PEFT learns to support the model."""
    peft = pytest.importorskip("peft")
    with pytest.raises(ValueError, match="target_modules"):
        peft.get_peft_model(make_model(), peft.LoraConfig())


# --- TRL


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_trl_fine_tunes(tmp_path, tokenizer, packing):  # noqa: F811
    trl = pytest.importorskip("trl")
    from datasets import Dataset

    texts = Dataset.from_list([{"text": word * 3} for word in ("once upon ", "a time ", "there ", "was ")] * 4)
    options = trl.SFTConfig(
        str(tmp_path),
        per_device_train_batch_size=2,
        max_steps=8,
        learning_rate=1e-2,
        logging_steps=1,
        max_length=24,
        packing=packing,
        packing_strategy="wrapped" if packing else "bfd",
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = trl.SFTTrainer(make_model(), args=options, train_dataset=texts, processing_class=tokenizer)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0] - 0.3


# --- lm-evaluation-harness


def test_lm_eval_counts_what_the_model_says():
    huggingface = pytest.importorskip("lm_eval.models.huggingface")
    from hrm_hf.checkpoints import SHIPPED_TEXT, load_causal_lm

    text = "The river was calm in the morning. Nobody had seen the boat leave."
    model, tokens = load_causal_lm(str(SHIPPED_TEXT))
    ids = tokens(text, return_tensors="pt").input_ids
    with torch.no_grad():
        scores = model(ids).logits.log_softmax(-1)[0, :-1]
    expected = scores.gather(1, ids[0, 1:, None]).sum().item()

    def rolling(**options) -> float:
        client = huggingface.HFLM(pretrained=str(SHIPPED_TEXT), device="cpu", trust_remote_code=True, **options)
        assert client.max_length == 1024
        return client.loglikelihood_rolling([SimpleNamespace(args=(text,))], disable_tqdm=True)[0]

    assert rolling(add_bos_token=False) == pytest.approx(expected, rel=1e-4)
    # as docs/clients.md says: otherwise the harness puts a second BOS before that of the tokenizer
    assert rolling() < expected - 1


def test_the_documents_tell_of_the_clients():
    text = (Path(__file__).parent.parent / "docs/clients.md").read_text()
    for word in ("target_modules", "add_bos_token=False", "generate_batch", "SFTTrainer", "compute_metrics"):
        assert word in text
