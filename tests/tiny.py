"""The smallest network that tests train."""

# options of a recipe
NETWORK = {
    "report_to": "none",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "H_layers": 1,
    "L_layers": 1,
}
