"""A saved folder is self-contained: reloading elsewhere, installing, and folders that are not a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hrm_hf
from hrm_hf.checkpoints import load_checkpoint, save_checkpoint
from processing_hrm import HRMGridProcessor


ROOT = Path(__file__).parent.parent
# written by a process that cannot import this repository
RELOAD = """
import json, sys, torch
from transformers import AutoConfig, AutoModel, AutoProcessor, pipeline
{prelude}
folder, tensors = sys.argv[1:]
model = AutoModel.from_pretrained(folder, {options})
processor = AutoProcessor.from_pretrained(folder, {options})
inputs = processor(["2.........4.1.3.", ".3...4.....2...3"])
with torch.no_grad():
    logits = model(**inputs, return_dict=True).logits
solved = model.solve(**inputs, max_segments=6)
torch.save([logits, solved.predictions, solved.segments, *model.state_dict().values()], tensors)
names = [type(part).__module__ for part in (model, processor, AutoConfig.from_pretrained(folder, {options}))]
solver = pipeline("grid-solving", {pipeline_options})
torch.save(solver(["2.........4.1.3.", ".3...4.....2...3"], max_segments=6), tensors + ".pipeline")
names.append(type(solver).__module__)
print(json.dumps([model.training, "hrm_hf" in sys.modules, *names]))
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder of a random model for 4x4 Sudoku with its processor, and the model's output."""
    from configuration_hrm import HRMConfig
    from modeling_hrm import HRMForGridTask

    torch.manual_seed(0)
    processor = HRMGridProcessor.for_sudoku(4)
    model = HRMForGridTask(
        HRMConfig(
            vocab_size=processor.vocab_size,
            max_position_embeddings=16,
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=2,
            H_layers=1,
            L_layers=1,
            halt_max_steps=4,
            halting="lean",
            position_embedding_type="grid",
            grid_shape=[4, 4],
            block_shape=[2, 2],
            puzzle_emb_ndim=32,
        )
    ).eval()
    torch.nn.init.normal_(model.q_head.weight)
    torch.nn.init.zeros_(model.q_head.bias)
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_checkpoint(folder, model, processor)
    inputs = processor(["2.........4.1.3.", ".3...4.....2...3"])
    with torch.no_grad():
        logits = model(**inputs).logits
    solved = model.solve(**inputs, max_segments=6)
    return folder, [logits, solved.predictions, solved.segments, *model.state_dict().values()]


def reload_elsewhere(folder: Path, tmp_path: Path, prelude: str, options: str, python_path: str) -> list:
    script = tmp_path / "reload.py"
    pipeline_options = "model=model, processor=processor" if python_path else "model=folder, trust_remote_code=True"
    script.write_text(RELOAD.format(prelude=prelude, options=options, pipeline_options=pipeline_options))
    environment = os.environ | {"PYTHONPATH": python_path}
    process = subprocess.run(
        [sys.executable, "-I" if not python_path else "-P", str(script), str(folder), str(tmp_path / "tensors.pt")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("with_package", [False, True], ids=["remote code", "package"])
def test_a_new_process_reloads_bit_identically(saved, tmp_path, with_package):
    folder, expected = saved
    training, package, *modules = reload_elsewhere(
        folder,
        tmp_path,
        prelude=f"torch.set_num_threads({torch.get_num_threads()})" + ("\nimport hrm_hf.auto" if with_package else ""),
        options="trust_remote_code=False" if with_package else "trust_remote_code=True",
        python_path=str(Path(hrm_hf.__file__).parent.parent) if with_package else "",
    )
    assert not training
    assert package is with_package
    if with_package:
        assert modules == ["modeling_hrm", "processing_hrm", "configuration_hrm", "pipeline_hrm"]
    else:
        assert all(name.startswith("transformers_modules.") for name in modules)
    for mine, theirs in zip(expected, torch.load(tmp_path / "tensors.pt"), strict=True):
        assert torch.equal(mine, theirs)
    # the pipeline agrees with solve, and gives no answer that breaks the rules
    results = torch.load(tmp_path / "tensors.pt.pipeline")
    assert [result["segments"] for result in results] == expected[2].tolist()
    assert [(result["answer"], result["solved"]) for result in results] == [(None, False)] * 2


def test_the_installed_package_has_the_model_files_as_modules_and_the_card_template(tmp_path):
    build = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
        + ["--target", str(tmp_path / "site"), str(ROOT)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert build.returncode == 0, build.stderr[-3000:]
    empty = tmp_path / "empty"
    empty.mkdir()
    modules = "modeling_hrm, configuration_hrm, processing_hrm, pipeline_hrm, hrm_hf.training.loop, hrm_hf.model_card"
    code = f"import {modules}; print(modeling_hrm.__file__, hrm_hf.model_card.template_path(), sep='\\n')"
    process = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    files = ["modeling_hrm.py", "hrm_hf/model_cards/model_card.md"]
    assert process.stdout.split() == [str(tmp_path / "site" / file) for file in files]


# --- folders that are not a model


def copy_of(saved, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in saved[0].iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_a_complete_folder_loads(saved):
    model, processor = load_checkpoint(str(saved[0]))
    assert not model.training and processor.height == 4


@pytest.mark.parametrize("name", ["no-such-folder", "./no/such", "/no/such/folder"])
def test_a_missing_folder_is_named(name):
    with pytest.raises(FileNotFoundError, match=f"no folder {name}"):
        load_checkpoint(name)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "model.safetensors"])
def test_a_folder_without_a_file_names_the_file(saved, tmp_path, file):
    folder = copy_of(saved, tmp_path)
    (folder / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {file}"):
        load_checkpoint(str(folder))


def test_a_checkpoint_of_another_model_is_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "architectures": ["BertModel"]}))
    with pytest.raises(ValueError, match="model_type='bert'"):
        load_checkpoint(str(folder))


def test_a_checkpoint_of_another_class_is_refused(saved, tmp_path):
    from modeling_hrm import HRMForGridTask, HRMModel

    folder = copy_of(saved, tmp_path)
    HRMModel(HRMForGridTask.from_pretrained(folder).config).save_pretrained(folder)
    with pytest.raises(ValueError, match="lacks lm_head.weight.*HRMModel"):
        load_checkpoint(str(folder))


def test_weights_that_do_not_fit_the_configuration_are_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))
    with pytest.raises(ValueError, match="do not fit its config.json.*shape"):
        load_checkpoint(str(folder))


def test_a_damaged_weights_file_is_named(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    (folder / "model.safetensors").write_bytes(b"not a tensor file")
    with pytest.raises(ValueError, match="copy.*damaged"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("config.json", "[" * 100_000, "RecursionError"),
        ("config.json", "[]", "(Attribute|Type)Error"),
        ("processor_config.json", '{"a":' * 100_000, "RecursionError"),
        ("processor_config.json", "7", "(Attribute|Type)Error"),
    ],
)
def test_a_json_file_of_another_form_is_one_sentence(saved, tmp_path, file, text, reason):
    folder = copy_of(saved, tmp_path)
    (folder / file).write_text(text)
    with pytest.raises(ValueError, match=f"A JSON file of .*copy does not have the form .*{reason}"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize("changes", [{"task": "arc"}, {"height": 9, "width": 9}, {"puzzle_identifiers": {"a": 9}}])
def test_a_processor_of_other_sizes_than_the_model_is_refused(saved, tmp_path, changes):
    path = copy_of(saved, tmp_path) / "processor_config.json"
    boxes = {"box_height": None, "box_width": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | boxes | changes))
    with pytest.raises(ValueError, match="The two configurations of .*copy disagree"):
        load_checkpoint(str(path.parent))
