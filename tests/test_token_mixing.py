"""Options of TRM, for custom models: a SwiGLU over positions, prefix positions that are zero, no positions."""

import pytest
import torch

from configuration_hrm import HRMConfig
from modeling_hrm import HRMForGridTask


MIXER = {"token_mixer": "mlp", "position_embedding_type": "none"}


def logits_of(model, input_ids):
    with torch.no_grad():
        return model(input_ids=input_ids).logits


def test_width_of_the_token_mixer_is_that_of_the_published_model():
    config = HRMConfig(**MIXER, puzzle_emb_len=16)
    assert (config.num_prefix_positions, config.token_mixer_intermediate_size) == (16, 512)
    assert HRMConfig().token_mixer_intermediate_size is None
    block = HRMForGridTask(HRMConfig(**MIXER, puzzle_emb_len=16, H_layers=1, L_layers=1)).model.H_module.layers[0]
    assert block.token_mixer.gate_up_proj.weight.shape == (1024, 97) and not hasattr(block, "self_attn")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"token_mixer": "conv"}, ["token_mixer='conv'", "'attention' or 'mlp'"]),
        ({"token_mixer": "mlp"}, ["token_mixer='mlp'", "'learned', 'grid' or 'none'"]),
        ({**MIXER, "is_causal": True}, ["token_mixer='mlp'", "is_causal=False"]),
        ({"token_mixer_intermediate_size": 8}, ["token_mixer_intermediate_size=8", "token_mixer='mlp'"]),
        ({**MIXER, "token_mixer_intermediate_size": 0}, ["token_mixer_intermediate_size=0", "at least 1"]),
        ({"puzzle_emb_ndim": 1025, "puzzle_emb_len": 2}, ["puzzle_emb_len=2", "at least 3"]),
        ({"puzzle_emb_len": 4, "puzzle_emb_placement": "everywhere"}, ["puzzle_emb_len=4", "'prefix'"]),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(changes, words):
    with pytest.raises(ValueError) as error:
        HRMConfig(**changes)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("norm_position", ["post", "pre"])
def test_every_cell_sees_every_other(small_model, batch, norm_position):
    model = small_model(**MIXER, norm_position=norm_position)
    input_ids = batch["input_ids"][:1]
    changed = input_ids.clone()
    changed[0, 0] = (changed[0, 0] + 1) % model.config.vocab_size
    differs = (logits_of(model, input_ids) != logits_of(model, changed)).any(-1)
    assert differs.all()


def test_a_mixer_takes_its_own_length_and_no_mask(small_model, batch):
    model = small_model(**MIXER)
    ids = batch["input_ids"]
    with pytest.raises(ValueError, match=r"has \d+ positions with the prefix, but this model mixes exactly \d+"):
        logits_of(model, ids[:, :-1])
    with pytest.raises(ValueError, match="attention_mask is for models with attention"):
        model(input_ids=ids, attention_mask=torch.zeros_like(ids))


def test_grid_positions_go_with_a_mixer(small_model, batch):
    side = int(batch["input_ids"].shape[1] ** 0.5)
    model = small_model(token_mixer="mlp", position_embedding_type="grid", grid_shape=[side, side])
    output = model.train()(**batch)
    output.loss.backward()
    assert model.model.embed_positions is not None
    assert all(parameter.grad is not None for parameter in model.model.H_module.parameters())


def test_without_positions_cells_can_change_places(small_model, batch):
    """A permutation of the cells permutes the answer; rotary positions tell them apart."""
    ids = batch["input_ids"]
    order = torch.randperm(ids.shape[1])
    for positions, equal in (("none", True), ("rope", False)):
        model = small_model(position_embedding_type=positions)
        permuted, plain = logits_of(model, ids[:, order]), logits_of(model, ids)[:, order]
        assert torch.allclose(permuted, plain, atol=1e-4) == equal


def test_prefix_positions_beyond_the_embedding_are_zero(small_model, batch):
    model = small_model(puzzle_emb_ndim=48, puzzle_emb_len=5, hidden_size=32)
    torch.nn.init.normal_(model.model.puzzle_embeddings.weight)
    embeddings = model.model.embed(batch["input_ids"], batch["puzzle_identifiers"], None)
    assert embeddings.shape[1] == 5 + batch["input_ids"].shape[1]
    prefix = embeddings[:, :5].flatten(1)
    assert prefix[:, :48].all() and not prefix[:, 48:].any()
    # without any embedding they are working memory
    model = small_model(puzzle_emb_ndim=0, puzzle_emb_len=3)
    assert not model.model.embed(batch["input_ids"], None, None)[:, :3].any()
    assert model(**batch).logits.shape[:2] == batch["input_ids"].shape


def test_no_mixing_weight_is_without_gradient(small_model, batch):
    model = small_model(**MIXER, share_modules=True, L_layers=1, H_layers=1, gradient_depth="last_cycle").train()
    model(**batch).loss.backward()
    weights = {name: parameter.grad for name, parameter in model.named_parameters() if "token_mixer" in name}
    assert weights and all(gradient.abs().sum() > 0 for gradient in weights.values())


def test_a_saved_mixer_comes_back(small_model, batch, tmp_path):
    model = small_model(**MIXER, puzzle_emb_len=4)
    model.save_pretrained(tmp_path)
    again = HRMForGridTask.from_pretrained(tmp_path)
    assert (again.config.token_mixer, again.config.puzzle_emb_len) == ("mlp", 4)
    assert again.config.token_mixer_intermediate_size == model.config.token_mixer_intermediate_size
    assert torch.equal(logits_of(again.eval(), batch["input_ids"]), logits_of(model, batch["input_ids"]))
