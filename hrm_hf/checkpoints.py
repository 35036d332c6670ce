"""Loading a saved grid model with its processor, with a clear sentence where transformers would only warn."""

from pathlib import Path

from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


def load_checkpoint(name: str) -> tuple[HRMForGridTask, HRMGridProcessor]:
    """Load model and processor.

    Args:
        name: a folder, or the name of a model on the Hub (`owner/name`).

    Returns:
        The model in evaluation mode and its processor.

    Raises:
        FileNotFoundError: if `name` is neither a folder with a model nor looks like a name on the Hub.
        ValueError: if the checkpoint is of another model or lacks weights.
    """
    folder = Path(name)
    if folder.is_dir():
        for file in ("config.json", "processor_config.json"):
            if not (folder / file).is_file():
                raise FileNotFoundError(
                    f"The folder {name} has no {file}, so it holds no complete grid model; give the model/ folder of "
                    "a training run or one written by save_pretrained of model and processor."
                )
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"There is no folder {name}; give a model folder or a Hub name of the form owner/name."
        )
    model, loading = HRMForGridTask.from_pretrained(name, output_loading_info=True)
    if loading["missing_keys"]:
        raise ValueError(
            f"The checkpoint {name} lacks {', '.join(sorted(loading['missing_keys']))}; it was made by another class "
            f"({', '.join(model.config.architectures or ['unknown'])}) and cannot solve puzzles."
        )
    return model.eval(), HRMGridProcessor.from_pretrained(name)
