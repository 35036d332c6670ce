"""`position_embedding_type="rope_2d"`: rotation by row and by column, and heads that look at the next cell."""

import pytest
import torch

from modeling_hrm import HRMForGridTask, HRMRotaryEmbedding, apply_rotary_pos_emb, grid_positions


BOARD = {"position_embedding_type": "rope_2d", "grid_shape": [2, 8]}
PREFIX = 2  # positions: conftest's puzzle embedding is wider than its network


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid_shape": None}, ["grid_shape=None", "16 cells"]),
        ({"grid_shape": [4, 5]}, ["grid_shape=[4, 5]", "16 cells"]),
        ({"hidden_size": 24, "num_attention_heads": 4}, ["hidden_size=24", "multiple of 4", "now 6"]),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}}, ["rope_type 'default'"]),
    ],
)
def test_what_does_not_fit_is_named(small_config, changes, words):
    with pytest.raises(ValueError) as error:
        small_config(**(BOARD | changes))
    assert all(word in str(error.value) for word in words), error.value


def test_the_base_is_short_for_boards_and_can_be_chosen(small_config):
    assert small_config(**BOARD).rope_parameters["rope_theta"] == 100.0
    chosen = {"rope_type": "default", "rope_theta": 30.0}
    assert small_config(**BOARD, rope_parameters=chosen).rope_parameters["rope_theta"] == 30.0
    assert small_config().rope_parameters["rope_theta"] == 10000.0


def test_angles_are_those_of_row_and_column(small_config):
    config = small_config(**BOARD)
    assert config.num_prefix_positions == PREFIX and config.head_dim == 16
    rotary = HRMRotaryEmbedding(config)
    cos, sin = rotary(torch.zeros(1), grid_positions(config, torch.arange(PREFIX + 16).unsqueeze(0), (2, 8)))
    assert cos.shape == (1, PREFIX + 16, 16)
    frequencies = 2.5 * 100.0 ** -torch.tensor([0.0, 0.25, 0.5, 0.75])
    for row in range(2):
        for column in range(8):
            angles = torch.cat((row * frequencies, column * frequencies)).repeat(2)
            place = PREFIX + row * 8 + column
            torch.testing.assert_close(cos[0, place], angles.cos())
            torch.testing.assert_close(sin[0, place], angles.sin())
    # the prefix lies above the board, each of its positions in a different place
    assert not torch.equal(cos[0, 0], cos[0, 1]) and not torch.allclose(sin[0, 0], sin[0, PREFIX])


def test_scores_depend_on_the_way_from_cell_to_cell_alone(small_config):
    torch.manual_seed(0)
    config = small_config(**(BOARD | {"grid_shape": [4, 4]}), puzzle_emb_ndim=0)
    places = grid_positions(config, torch.arange(16).unsqueeze(0), (4, 4))
    cos, sin = HRMRotaryEmbedding(config)(torch.zeros(1), places)
    query, key = (torch.randn(1, 1, 1, 16).expand(1, 1, 16, 16) for _ in range(2))
    query, key = apply_rotary_pos_emb(query, key, cos, sin)
    scores = (query @ key.transpose(-1, -2))[0, 0].view(4, 4, 4, 4)
    torch.testing.assert_close(scores[0, 0, 1, 2], scores[2, 1, 3, 3])
    torch.testing.assert_close(scores[3, 3, 3, 2], scores[0, 1, 0, 0])
    # one column and one row are different offsets, and the end of a row is far from the start of the next
    assert (scores[0, 0, 0, 1] - scores[0, 0, 1, 0]).abs() > 1e-3
    assert (scores[0, 3, 1, 0] - scores[0, 0, 0, 1]).abs() > 1e-3


@pytest.mark.parametrize(("width", "num_heads"), [(256, 8), (128, 4), (64, 1)])
def test_heads_start_with_a_view_of_the_next_cell(small_model, width, num_heads):
    model = small_model(
        position_embedding_type="rope_2d",
        grid_shape=[30, 30],
        max_position_embeddings=900,
        puzzle_emb_ndim=0,
        hidden_size=width,
        num_attention_heads=num_heads,
        attn_implementation="eager",
    )
    for layer in model.model.L_module.layers:
        torch.nn.init.zeros_(layer.self_attn.qkv_proj.weight)
    weights = model(torch.zeros(1, 900, dtype=torch.long), output_attentions=True).attentions[0][0]
    views = weights[:, 12 * 30 + 7].view(num_heads, 30, 30)
    places = [(11, 7), (13, 7), (12, 6), (12, 8)]
    for view, place in zip(views[:4], places, strict=False):
        assert view[place] > 0.95, (place, view[place])
    torch.testing.assert_close(views[4:], torch.full_like(views[4:], 1 / 900))


def test_missing_biases_are_initialized_on_load(small_model, tmp_path):
    # from_pretrained builds on the meta device, so what is not in the file must come from _init_weights
    small_model(**(BOARD | {"position_embedding_type": "rope"})).save_pretrained(tmp_path)
    fresh = small_model(**BOARD)
    model, report = HRMForGridTask.from_pretrained(tmp_path, config=fresh.config, output_loading_info=True)
    name = "model.H_module.layers.0.self_attn.positions.bias"
    assert name in report["missing_keys"]
    bias = model.get_parameter(name)
    assert bias.std() > 0.5 and torch.equal(bias, fresh.get_parameter(name))


@pytest.mark.parametrize("implementation", ["sdpa", "flex_attention"])
def test_attention_implementations_agree(agrees_with_eager, implementation):
    agrees_with_eager(implementation, **BOARD)


def test_it_survives_saving_and_loading(small_model, batch, tmp_path):
    model = small_model(**BOARD)
    model.save_pretrained(tmp_path)
    loaded = HRMForGridTask.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(batch["input_ids"]).logits, model(batch["input_ids"]).logits)


def test_learned_positions_of_the_board_leave_a_prefix_alone(small_model, batch):
    model = small_model(**BOARD, learned_grid_positions=True).model
    inputs = {name: batch[name] for name in ("input_ids", "puzzle_identifiers")}
    places = {"inputs_embeds": None, "grid_shape": (2, 8)}
    torch.nn.init.zeros_(model.embed_rows.weight)
    torch.nn.init.zeros_(model.embed_columns.weight)
    without = model.embed(**inputs, **places)
    model.embed_rows.weight.data[1] += 1.0
    added = model.embed(**inputs, **places) - without
    assert added.shape[1] == PREFIX + 16
    torch.testing.assert_close(added[:, : PREFIX + 8], torch.zeros_like(added[:, : PREFIX + 8]))
    torch.testing.assert_close(added[:, PREFIX + 8 :], torch.ones_like(added[:, PREFIX + 8 :]))
