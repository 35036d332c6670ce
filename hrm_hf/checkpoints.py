"""Loading a saved grid model with its processor, with a clear sentence where transformers would only warn."""

from pathlib import Path

from safetensors import SafetensorError

from modeling_hrm import HRMForGridTask
from processing_hrm import HRMGridProcessor


def load_checkpoint(name: str) -> tuple[HRMForGridTask, HRMGridProcessor]:
    """Load model and processor.

    Args:
        name: a folder, or the name of a model on the Hub (`owner/name`).

    Returns:
        The model in evaluation mode and its processor.

    Raises:
        FileNotFoundError: if `name` is a folder that lacks a file, or neither a folder nor like a name on the Hub.
        ValueError: if the checkpoint is of another model, lacks weights, or they are damaged or of other shapes.
    """
    folder = Path(name)
    if folder.is_dir():
        for file in ("config.json", "processor_config.json"):
            if not (folder / file).is_file():
                raise FileNotFoundError(_incomplete(name, file))
        if not any(folder.glob("*.safetensors")):
            raise FileNotFoundError(_incomplete(name, "model.safetensors"))
    elif name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"There is no folder {name}; give a model folder or a Hub name of the form owner/name."
        )
    try:
        model, loading = HRMForGridTask.from_pretrained(name, output_loading_info=True, ignore_mismatched_sizes=True)
    except SafetensorError as error:
        raise ValueError(f"The weights of {name} are damaged ({error}); copy or download them again.") from error
    if loading["mismatched_keys"]:
        key, stored, wanted = min(loading["mismatched_keys"])
        raise ValueError(
            f"The weights of {name} do not fit its config.json: {key} has the shape {tuple(stored)}, but "
            f"{tuple(wanted)} is wanted; take both files from the same save_pretrained."
        )
    if loading["missing_keys"]:
        raise ValueError(
            f"The checkpoint {name} lacks {', '.join(sorted(loading['missing_keys']))}; it was made by another class "
            f"({', '.join(model.config.architectures or ['unknown'])}) and cannot solve puzzles."
        )
    return model.eval(), HRMGridProcessor.from_pretrained(name)


def _incomplete(name: str, file: str) -> str:
    return (
        f"The folder {name} has no {file}, so it holds no complete grid model; give the model/ folder of a training "
        "run or one written by save_pretrained of model and processor."
    )
