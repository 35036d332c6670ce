"""Training and evaluating a language model as a user does: blocks, losses, samples, sliding windows, errors."""

import io
import json
import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from configuration_hrm import HRMConfig
from hrm_hf.cli import main as hrm_hf_main
from hrm_hf.text.blocks import TextBlocks, load_text_blocks, load_text_tokenizer
from hrm_hf.text.build import build_text
from hrm_hf.text.scores import evaluate_blocks, evaluate_documents
from hrm_hf.training.arguments import parse_recipe
from hrm_hf.training.loop import prepare, train
from hrm_hf.training.text_task import BlockDraws
from modeling_hrm import HRMForCausalLM
from train_accelerate import main as train_main


TINY = {
    "task": "text",
    "eval_split": "validation",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 1,
    "halt_max_steps": 2,
    "halting": "lean",
    "token_loss": "softmax",
    "batch_size": 4,
    "max_steps": 6,
    "warmup_steps": 2,
    "learning_rate": 1e-2,
    "log_steps": 2,
    "eval_steps": 4,
    "eval_batch_size": 2,
    "sample_tokens": 5,
}
DOCUMENTS = [f"The {number}th story has {number} words, and then it ends — naïvely. " * 4 for number in range(60)]


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory) -> str:
    """Stories as blocks of 32 tokens, of a vocabulary of 300."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "stories.txt").write_text("\n\n\n".join(DOCUMENTS))
    build_text(
        folder / "data",
        inputs=[str(folder / "stories.txt")],
        train_bpe=300,
        block_size=32,
        document_separator="\\n\\n\\n",
        validation_share=0.1,
    )
    return str(folder / "data")


def arguments(data_folder: str, output_dir: Path, **changes) -> list[str]:
    options = TINY | {"dataset": data_folder, "output_dir": output_dir} | changes
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


# --- blocks


def test_an_epoch_visits_every_block_once(data_folder):
    blocks = load_text_blocks(data_folder, "train")
    draws = BlockDraws(blocks, len(blocks), 3 * len(blocks), seed=0)
    batch = draws.__getitems__(list(range(len(blocks))))
    assert batch["input_ids"].shape == (len(blocks), 32)
    seen = [row[row != -100].tolist() for row in batch["labels"]]
    assert sorted(seen) == sorted(blocks[row]["input_ids"].tolist() for row in range(len(blocks)))
    second = draws.__getitems__(list(range(len(blocks), 2 * len(blocks))))
    assert not torch.equal(batch["labels"], second["labels"])


def test_the_tail_of_the_corpus_is_trained_on_and_its_padding_is_not(data_folder):
    blocks = load_text_blocks(data_folder, "train")
    tail = blocks[-1]["input_ids"]
    assert 0 < len(tail) < 32  # the corpus of these tests has one
    draws = BlockDraws(blocks, len(blocks), len(blocks), seed=0)
    index = draws.epochs.order(0).tolist().index(len(blocks) - 1)
    batch = draws.__getitems__([index])
    assert batch["labels"][0, : len(tail)].tolist() == tail.tolist()
    assert (batch["labels"][0, len(tail) :] == -100).all()


# --- a run


@pytest.fixture(scope="module")
def run_folder(data_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    argv = [*arguments(data_folder, folder), "--sample_prompts", "The story", "It ends"]
    assert train_main(argv) == 0
    return folder


def test_a_run_logs_losses_that_fit_each_other_and_samples(run_folder, data_folder):
    log = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    training = [record for record in log if "loss" in record]
    assert [record["step"] for record in training] == [2, 4, 6]
    blocks = load_text_blocks(data_folder, "train")
    for record in training:
        assert record["loss"] > 0 and record["tokens_per_s"] > 0 and record["q_halt_loss"] > 0
        assert record["perplexity"] == pytest.approx(math.exp(record["lm_loss"]))
        tokens_per_byte = len(blocks.tokens) / blocks.num_bytes.sum()
        assert record["bits_per_byte"] == pytest.approx(record["lm_loss"] / math.log(2) * tokens_per_byte)
    evaluations = [record for record in log if "eval_loss" in record]
    assert [record["step"] for record in evaluations] == [4, 6]
    for record in evaluations:
        assert [sample["prompt"] for sample in record["eval_samples"]] == ["The story", "It ends"]
        assert all(sample["continuation"] for sample in record["eval_samples"])
    result = json.loads((run_folder / "result.json").read_text())
    assert (result["train_tokens"], result["train_blocks"], result["eval_split"]) == (
        6 * 4 * 32,
        len(blocks),
        "validation",
    )


def test_the_first_loss_is_that_of_the_new_model(data_folder, tmp_path):
    """The cross entropy is a mean over tokens, not divided once more by the batch."""
    run = prepare(*parse_recipe([*arguments(data_folder, tmp_path / "run", max_steps=1, log_steps=1)]))
    model = HRMForCausalLM(run.model.config)
    model.load_state_dict(run.model.state_dict())
    batch = run.task.draws(run.args, 4, 1).__getitems__([0, 1, 2, 3])
    logits = model(batch["input_ids"]).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten()).item()
    train(run)
    record = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[0])
    assert record["lm_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_run_leaves_model_and_tokenizer_that_the_auto_classes_load(run_folder, data_folder):
    from hrm_hf.checkpoints import load_causal_lm

    assert {path.name for path in (run_folder / "model").iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "configuration_hrm.py",
        "modeling_hrm.py",
    }
    model, tokenizer = load_causal_lm(str(run_folder / "model"))
    assert type(model) is HRMForCausalLM and not model.training
    assert model.config.is_causal and model.config.max_position_embeddings == 32
    assert model.config.vocab_size == len(tokenizer) == len(load_text_tokenizer(data_folder))
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_saved_model_scores_as_the_run_said(run_folder, data_folder):
    result = json.loads((run_folder / "result.json").read_text())
    model = HRMForCausalLM.from_pretrained(run_folder / "model").eval()
    scores = evaluate_blocks(model, load_text_blocks(data_folder, "validation"), Accelerator(), batch_size=3)
    assert scores.loss == pytest.approx(result["loss"], rel=1e-5)
    assert scores.n_tokens == result["n_tokens"]


def test_training_learns(data_folder, tmp_path):
    argv = arguments(data_folder, tmp_path / "run", max_steps=60, log_steps=60, eval_steps=60, warmup_steps=10)
    scores = train(prepare(*parse_recipe(argv)))
    uniform = math.log(300)
    assert scores["loss"] < 0.6 * uniform


def test_epochs_instead_of_steps(data_folder, tmp_path):
    blocks = load_text_blocks(data_folder, "train")
    run = prepare(*parse_recipe([*arguments(data_folder, tmp_path / "run"), "--epochs", "1.5"]))
    assert len(run.loader) == math.ceil(1.5 * len(blocks) / 4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dataset": "./nowhere"}, "There is no data set folder ./nowhere"),
        ({"eval_split": "test"}, "has no split 'test'; it has train, validation"),
        ({"max_train_rows": 10**6}, "rows, but 1000000 were asked for"),
        ({"sample_prompts": "The story", "sample_tokens": 40}, "'The story' and sample_tokens=40 need 43 tokens"),
        ({"stop_at_exact_accuracy": 0.9}, "stop_at_exact_accuracy=0.9 is for puzzles"),
        ({"epochs": 0}, "epochs=0.0 is not allowed"),
        ({"task": "audio"}, "task='audio' is not allowed; it must be 'grid' or 'text'"),
        ({"task": "grid", "epochs": 2}, "epochs=2.0 is for text; give max_steps"),
    ],
)
def test_user_errors_are_one_sentence(data_folder, tmp_path, capsys, changes, sentence):
    assert train_main(arguments(data_folder, tmp_path / "run", **changes)) == 1
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


# --- evaluation by hand


class Uniform(torch.nn.Module):
    """A language model that knows nothing, and remembers what it was shown."""

    def __init__(self, vocab_size: int, max_position_embeddings: int | None = 64):
        super().__init__()
        self.vocab_size = vocab_size
        self.config = SimpleNamespace(max_position_embeddings=max_position_embeddings)
        self.device = torch.device("cpu")
        self.shown = []

    def forward(self, input_ids, use_cache):
        self.shown += input_ids.tolist()
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, self.vocab_size))


def test_a_model_that_knows_nothing_needs_the_bits_of_its_vocabulary(data_folder):
    tokenizer = load_text_tokenizer(data_folder)
    scores = evaluate_documents(Uniform(300), tokenizer, DOCUMENTS[:3])
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1 for text in DOCUMENTS[:3])
    num_bytes = sum(len(text.encode()) for text in DOCUMENTS[:3])
    assert (scores.n_tokens, scores.n_bytes) == (tokens, num_bytes)
    assert scores.perplexity == pytest.approx(300, rel=1e-4)
    assert scores.bits_per_byte == pytest.approx(tokens * math.log2(300) / num_bytes, rel=1e-5)


def test_bits_per_byte_of_blocks():
    blocks = TextBlocks(
        tokens=np.arange(10, dtype=np.int32), starts=np.array([0, 6, 10]), num_bytes=np.array([20, 12], dtype=np.int32)
    )
    scores = evaluate_blocks(Uniform(256), blocks, Accelerator())
    assert (scores.n_tokens, scores.n_bytes) == (8, 32)  # the first token of a block has nothing before it
    assert scores.loss == pytest.approx(math.log(256), rel=1e-5)
    assert scores.bits_per_byte == pytest.approx(10 * 8 / 32, rel=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(64, 32), (16, 8), (16, 1), (16, 15), (7, 3), (2, 1)])
def test_windows_score_every_token_once_with_enough_context(data_folder, window, stride):
    tokenizer, model = load_text_tokenizer(data_folder), Uniform(300)
    text = DOCUMENTS[7]
    tokens = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    scores = evaluate_documents(model, tokenizer, [text], window=window, stride=stride, batch_size=1)
    assert scores.n_tokens == len(tokens) - 1
    starts = range(0, len(model.shown) * stride, stride)
    assert model.shown == [tokens[start : start + window][:-1] for start in starts]
    assert starts[-1] + window >= len(tokens)


def test_a_window_over_the_whole_text_is_the_plain_loss(data_folder):
    """Ours and a Llama, by the same code, against the loss that the models themselves give."""
    tokenizer, text = load_text_tokenizer(data_folder), DOCUMENTS[5][:60]
    tokens = torch.tensor(
        [[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]]
    )
    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
    ours = HRMForCausalLM(
        HRMConfig(**sizes, max_position_embeddings=64, is_causal=True, puzzle_emb_ndim=0, halt_max_steps=2)
    )
    llama = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2, max_position_embeddings=64))
    for model in (ours.eval(), llama.eval()):
        output = model(tokens, labels=tokens)
        scores = evaluate_documents(model, tokenizer, ["  ", text])
        assert scores.loss == pytest.approx(output.get("lm_loss", output.loss).item(), rel=1e-5)
    shallow, deep = (evaluate_documents(ours, tokenizer, [text], max_segments=depth).loss for depth in (1, 2))
    assert shallow != deep


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 65}, "window=65 is not allowed; it must be from 2 to 64"),
        ({"window": 1}, "window=1 is not allowed"),
        ({"window": 8, "stride": 8}, "stride=8 is not allowed.*below the window, 8"),
        ({"stride": 0}, "stride=0 is not allowed"),
        ({"documents": [" \n"]}, "no text to evaluate"),
    ],
)
def test_an_impossible_evaluation_is_one_sentence(data_folder, options, message):
    tokenizer = load_text_tokenizer(data_folder)
    with pytest.raises(ValueError, match=message):
        evaluate_documents(**({"model": Uniform(300), "tokenizer": tokenizer, "documents": ["a text"]} | options))


# --- the command line


@pytest.fixture
def command(monkeypatch, capsys):
    """Calls `hrm-hf`; gives exit code, stdout and stderr."""

    def call(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hrm-hf", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as exit:
            hrm_hf_main()
        captured = capsys.readouterr()
        return exit.value.code or 0, captured.out, captured.err

    return call


def test_generate_streams_the_continuation(run_folder, command):
    code, first, _ = command("generate", "The story", "--model", str(run_folder / "model"), "--max-new-tokens", "6")
    _, again, _ = command(
        "generate", "-", "--model", str(run_folder / "model"), "--max-new-tokens", "6", stdin="The story"
    )
    assert code == 0 and first.startswith("The story") and len(first) > len("The story\n")
    assert first == again  # the same seed


def test_generate_reports_the_depth_of_every_token(run_folder, command):
    options = ("--model", str(run_folder / "model"), "--max-new-tokens", "6", "--temperature", "0", "--json")
    _, out, _ = command("generate", "The story", *options, "--halt-threshold", "0")
    result = json.loads(out)
    assert len(result["tokens"]) == len(result["segments"]) <= 6
    assert set(result["segments"]) == {1}
    _, out, _ = command("generate", "The story", *options, "--max-segments", "3")
    assert set(json.loads(out)["segments"]) == {3}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("",), "The prompt is empty"),
        (("a", "--max-new-tokens", "31"), "with --max-new-tokens 31 this exceeds the model's maximum of 32"),
        (("a", "--temperature", "-1"), "--temperature -1.0 is not allowed"),
        (("a", "--max-new-tokens", "2", "--max-segments", "0"), "max_segments=0 is not allowed"),
    ],
)
def test_generate_says_what_is_wrong_in_one_sentence(run_folder, command, arguments, sentence):
    code, _, error = command("generate", *arguments, "--model", str(run_folder / "model"))
    assert code == 1 and sentence in error and "Traceback" not in error


def test_evaluate_text(run_folder, command, tmp_path):
    (tmp_path / "a.txt").write_text(DOCUMENTS[0] + "\n\n\n" + DOCUMENTS[1])
    options = ("--document-separator", "\\n\\n\\n", "--output", str(tmp_path / "scores.json"))
    code, out, error = command("evaluate-text", str(run_folder / "model"), str(tmp_path / "*.txt"), *options)
    assert code == 0, error
    scores = json.loads(out)
    assert scores == json.loads((tmp_path / "scores.json").read_text())
    assert scores["n_bytes"] == len((DOCUMENTS[0] + DOCUMENTS[1]).encode())
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))


def test_depth_is_for_our_models_only(data_folder, command, tmp_path):
    LlamaForCausalLM(
        LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=64, num_attention_heads=2, num_hidden_layers=1)
    ).save_pretrained(tmp_path / "llama")
    load_text_tokenizer(data_folder).save_pretrained(tmp_path / "llama")
    (tmp_path / "a.txt").write_text("a text")
    code, out, error = command("evaluate-text", str(tmp_path / "llama"), str(tmp_path / "a.txt"))
    assert code == 0 and json.loads(out)["n_bytes"] == 6, error
    code, _, error = command("evaluate-text", str(tmp_path / "llama"), str(tmp_path / "a.txt"), "--max-segments", "2")
    assert code == 1 and "--max-segments is for HRM models, but this one is 'llama'" in error


def test_a_tokenizer_without_bos_and_eos_is_one_sentence(run_folder, command, tmp_path):
    shutil.copytree(run_folder / "model", tmp_path / "model")
    path = tmp_path / "model/tokenizer_config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if not name.endswith("_token")}
    path.write_text(json.dumps(config))
    (tmp_path / "a.txt").write_text("a text")
    code, _, error = command("generate", "The story", "--model", str(tmp_path / "model"), "--max-new-tokens", "2")
    assert code == 1 and "neither a BOS nor an EOS token" in error
    code, _, error = command("evaluate-text", str(tmp_path / "model"), str(tmp_path / "a.txt"))
    assert code == 1 and "has no EOS token" in error


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(run_folder, command, tmp_path):
    shutil.copytree(run_folder / "model", tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(tmp_path / "model")
    code, _, error = command("generate", "<new>", "--model", str(tmp_path / "model"), "--max-new-tokens", "2")
    assert code == 1 and "has 301 tokens, but the model has embeddings for 300" in error


def test_blocks_of_another_vocabulary_are_refused(data_folder, tmp_path, capsys):
    from hrm_hf.text.tokenizers import bpe_tokenizer

    shutil.copytree(data_folder, tmp_path / "text")
    bpe_tokenizer(DOCUMENTS, 260).save_pretrained(tmp_path / "text/tokenizer")
    assert train_main(arguments(str(tmp_path / "text"), tmp_path / "run")) == 1
    assert "but its tokenizer has 260 tokens" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_batch_of_no_windows_is_refused(run_folder, command, number):
    code, _, error = command("evaluate-text", str(run_folder / "model"), "a.txt", "--batch-size", number)
    assert code == 1 and f"--batch-size {number} is not allowed; it must be at least 1" in error
