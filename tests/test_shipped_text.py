"""The language model in the package: offline, only from its folder, and as good as its record says."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from benchmarks.records import read_records
from hrm_hf.checkpoints import SHIPPED_TEXT, load_causal_lm
from hrm_hf.text.scores import evaluate_documents
from hrm_hf.text.trace import trace_text


# not from the training text; the bound is far above the model's value and far below that of a broken one (a model of
# token frequencies alone needs more than 2.7 bits)
TEXT = (
    "The function returns a new list. If the argument is not given, the default value is used. See the manual for "
    "more information about the options of this command.\n\nShe looked at him for a long time, and then she said that "
    "she would not go to the house of her father, because it was too late in the evening and there was no moon."
)
MOST_BITS = 2.0


@pytest.fixture(scope="module")
def shipped():
    """The model and its tokenizer, loaded once."""
    return load_causal_lm(str(SHIPPED_TEXT))


def test_it_is_small_and_computes_in_float32(shipped):
    model, tokenizer = shipped
    files = [path for path in SHIPPED_TEXT.iterdir() if not path.is_symlink()]
    assert sum(path.stat().st_size for path in files) <= 16e6
    assert model.dtype == torch.float32 and len(tokenizer) == model.config.vocab_size == 8192
    assert sum(weight.numel() for weight in model.parameters()) == read_records("text_shipped")[0]["parameters"]


def test_it_knows_english(shipped):
    scores = evaluate_documents(*shipped, [TEXT])
    assert scores.bits_per_byte < MOST_BITS, scores


def test_its_states_can_be_watched(shipped):
    """Both modules share one network, and each of its calls is seen as the call of a module."""
    model, tokenizer = shipped
    tokens = [model.config.bos_token_id, *tokenizer("The king said", add_special_tokens=False)["input_ids"]]
    trace = trace_text(model, tokenizer, tokens, {})
    assert [state.module for state in trace.states] == ["L", "L", "H"] * 2
    assert len(trace.tokens) == 3


def test_rounding_the_weights_costs_next_to_nothing():
    whole, rounded = read_records("text_shipped")
    assert (whole["variant"], rounded["variant"]) == ("float32", "bfloat16")
    assert abs(rounded["val_bits_per_byte"] - whole["val_bits_per_byte"]) < 0.002


def test_the_folder_alone_is_enough(tmp_path):
    """In a process that cannot see the package, as `trust_remote_code=True` loads it."""
    shutil.copytree(SHIPPED_TEXT, tmp_path / "text")
    code = (
        "import sys, json\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained('text', trust_remote_code=True)\n"
        "tokenizer = AutoTokenizer.from_pretrained('text', trust_remote_code=True)\n"
        "prompt = tokenizer('The king said', return_tensors='pt')\n"
        "written = model.generate(**prompt, max_new_tokens=12, do_sample=False)\n"
        "uncached = model.generate(**prompt, max_new_tokens=12, do_sample=False, use_cache=False)\n"
        "same = written.tolist() == uncached.tolist()\n"
        "print(json.dumps([tokenizer.decode(written[0]), same, 'hrm_hf' in sys.modules]))"
    )
    process = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
    text, cache_agrees, saw_package = json.loads(process.stdout.splitlines()[-1])
    assert "The king said" in text and len(text) > len("The king said") + 5
    assert cache_agrees and not saw_package


def test_hrm_hf_generate_takes_it_by_default(hrm_hf):
    code, out, _ = hrm_hf("generate", "The king said", "--max-new-tokens", "8", "--temperature", "0")
    assert code == 0 and out.startswith("The king said") and len(out.strip()) > len("The king said")
