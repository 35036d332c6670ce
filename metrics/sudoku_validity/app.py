"""Page of the metric on the Hub: takes the arguments of `compute` as JSON and shows the scores."""

import json
from pathlib import Path

import evaluate
import gradio as gr


FOLDER = Path(__file__).parent
EXAMPLE = """{"predictions": ["1234341221434321"], "references": ["12..34..2143432."]}"""

# by file, because the folder of a Space does not have the name of the metric
metric = evaluate.load(str(FOLDER / "sudoku_validity.py"))


def compute(arguments: str) -> dict:
    """Scores for the arguments of `compute`, given as JSON."""
    try:
        return metric.compute(**json.loads(arguments))
    except (TypeError, ValueError) as error:
        raise gr.Error(str(error)) from error


card = (FOLDER / "README.md").read_text(encoding="utf-8").split("---", maxsplit=2)[2]
page = gr.Interface(
    compute,
    inputs=gr.Code(EXAMPLE, language="json", label="arguments"),
    outputs=gr.JSON(label="scores"),
    title="Sudoku Validity",
    description=metric.description,
    article=card,
    flagging_mode="never",
)

if __name__ == "__main__":
    page.launch()
