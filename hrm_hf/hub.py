"""Model folders and static Spaces on the Hub: which files go there, and the push as one commit.

Weights go only as safetensors: the other formats can run code when they are loaded.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, HfApi
from safetensors import SafetensorError, safe_open

from hrm_hf.checkpoints import check_model_folder
from hrm_hf.hub_errors import check_push, hub_errors, make_repo
from hrm_hf.model_card import CARD


# weights, configurations and tokenizers, code, card and plots, chat templates, vocabularies
_GOES = {".safetensors", ".json", ".py", ".md", ".png", ".svg", ".jinja", ".txt", ".model"}
_REFUSED = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".msgpack", ".joblib"}


@dataclass(frozen=True)
class PushPlan:
    """What a push would do.

    Attributes:
        folder: of the model, or of a static Space.
        files: names of the files to push, with their sizes in bytes.
        left_here: names of everything else in the folder.
        repo_type: type of the repository.
    """

    folder: Path
    files: dict[str, int]
    left_here: list[str]
    repo_type: Literal["model", "space"] = "model"


def plan_push(folder: Path) -> PushPlan:
    """Look through a folder; nothing is sent.

    Args:
        folder: with model, processor or tokenizer, code and card; or of a page whose card says `sdk: static`.

    Raises:
        FileNotFoundError: if something is missing.
        ValueError: if a file is damaged, or could run code when it is loaded.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}; give a model folder.")
    entries = sorted(folder.iterdir())
    refused = [path.name for path in entries if path.suffix.lower() in _REFUSED]
    if refused:
        raise ValueError(
            f"{folder} has {', '.join(refused)}: such formats can run code when they are loaded, and only safetensors "
            "are pushed; remove them, or save the model again with save_pretrained."
        )
    if _is_static_space(folder):
        return _plan_space(folder)
    is_language_model = (folder / "tokenizer_config.json").is_file()
    check_model_folder(str(folder), "language model" if is_language_model else "grid model")
    if not (folder / CARD).is_file():
        raise FileNotFoundError(
            f"{folder} has no card {CARD}; `hrm-hf card RUN_FOLDER` writes the card of a trained model, for other "
            "models write one by hand."
        )
    goes = [path for path in entries if path.is_file() and path.suffix in _GOES and not path.name.startswith(".")]
    _check_code(folder)
    _check_weights(folder)
    left_here = [path.name + "/" * path.is_dir() for path in entries if path not in goes]
    return PushPlan(folder, {path.name: path.stat().st_size for path in goes}, left_here)


def push(
    plan: PushPlan,
    repo_name: str,
    private: bool = False,
    revision: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Push a folder to the Hub in one commit, all or nothing. Other files there stay.

    Args:
        plan: from `plan_push`.
        repo_name: OWNER/NAME; created if it does not exist.
        private: whether it must be private; by default the owner's setting applies.
        revision: branch to push to, created if it does not exist; by default main.
        commit_message: of the commit.

    Returns:
        The URL of the commit.

    Raises:
        ValueError: for a bad name or message, or a private push to a public model.
        PermissionError: without a token, or with one that may not write there.
        ConnectionError: if the Hub cannot be reached or has an error.
        OSError: if it refuses the push for another reason.
    """
    check_push(repo_name, "model" if plan.repo_type == "model" else "Space", commit_message)
    api = HfApi()
    make_repo(api, repo_name, plan.repo_type, private)
    with hub_errors(f"accept a push to {repo_name}"):
        if revision is not None:
            api.create_branch(repo_name, branch=revision, repo_type=plan.repo_type, exist_ok=True)
        commit = api.create_commit(
            repo_name,
            [CommitOperationAdd(name, plan.folder / name) for name in plan.files],
            commit_message=commit_message or "Push with hrm-hf",
            revision=revision,
            repo_type=plan.repo_type,
        )
    return str(commit.commit_url)


def _is_static_space(folder: Path) -> bool:
    if not (folder / CARD).is_file():
        return False
    metadata = re.match(r"---\n(.*?)\n---", (folder / CARD).read_text(encoding="utf-8"), flags=re.DOTALL)
    return metadata is not None and re.search(r"^sdk: *static *$", metadata[1], flags=re.MULTILINE) is not None


def _plan_space(folder: Path) -> PushPlan:
    """All files of a page except hidden ones; a browser runs no format of `_REFUSED`."""
    if not (folder / "index.html").is_file():
        raise FileNotFoundError(
            f"{folder} has the card of a static Space but no index.html; make it with spaces_app/build_static.py."
        )
    if not (folder / "models").is_dir():
        raise FileNotFoundError(
            f"{folder} has no models, so its page cannot solve puzzles; push a folder written by "
            "spaces_app/build_static.py."
        )
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    hidden = [name for name in names if any(part.startswith(".") for part in name.split("/"))]
    return PushPlan(folder, {name: size for name, size in names.items() if name not in hidden}, hidden, "space")


def _check_code(folder: Path) -> None:
    """Raise a `FileNotFoundError` if configurations name missing code: nobody could load the model."""
    for name in ("config.json", "processor_config.json"):
        if not (folder / name).is_file():
            continue
        config = json.loads((folder / name).read_text(encoding="utf-8"))
        pipelines = [pipeline["impl"] for pipeline in config.get("custom_pipelines", {}).values()]
        files = {
            f"{reference.partition('.')[0]}.py" for reference in [*config.get("auto_map", {}).values(), *pipelines]
        }
        missing = sorted(file for file in files if not (folder / file).is_file())
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {', '.join(missing)}, which its {name} names; save the model again with "
                "save_pretrained, which writes its code."
            )


def _check_weights(folder: Path) -> None:
    """Raise an error if a weights file is damaged or missing."""
    index = folder / "model.safetensors.index.json"
    wanted = {"model.safetensors"}
    if index.is_file():
        wanted = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    missing = sorted(name for name in wanted if not (folder / name).is_file())
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}; save the model again.")
    for name in sorted(wanted):
        try:
            with safe_open(folder / name, framework="pt"):
                pass
        except SafetensorError as error:
            raise ValueError(
                f"The weights {folder / name} are damaged ({error}); copy them again, or save the model again."
            ) from error
