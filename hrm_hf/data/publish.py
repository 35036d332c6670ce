"""Finished data set folders on the Hub: the push itself, and the builder options for it."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from huggingface_hub import HfApi

from hrm_hf.data.folder import is_dataset_folder, split_rows
from hrm_hf.hub_errors import check_push, hub_errors, make_repo


RepoName = Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Name of the data set on the Hub.")]
Private = Annotated[
    bool,
    typer.Option("--private", help="Make the data set private on the Hub; by default the owner's setting applies."),
]
CommitMessage = Annotated[
    str | None, typer.Option(help="Commit message; by default the command that built the folder.")
]


def push_dataset(
    folder: Annotated[Path, typer.Argument(help="Data set folder written by `hrm-hf data`.")],
    repo_name: RepoName,
    private: Private = False,
    commit_message: CommitMessage = None,
) -> str:
    """Push a data set folder to the Hub: data/ there is replaced by data/ here, other files are added.

    Returns:
        The URL of the commit.

    Raises:
        FileNotFoundError: if the folder is not a finished data set.
        ValueError: for a bad name or message, a damaged data set, or a private push to a public data set.
        PermissionError: without a token, or with one that may not write there.
        ConnectionError: if the Hub cannot be reached or has an error.
        OSError: if it refuses the push for another reason.
    """
    if not is_dataset_folder(folder):
        raise FileNotFoundError(
            f"{folder} is not a finished data set folder (with README.md and data/); build one with "
            "dataset_scripts/ or give another folder."
        )
    split_rows(folder)
    check_push(repo_name, "data set", commit_message)
    api = HfApi()
    make_repo(api, repo_name, "dataset", private)
    with hub_errors(f"accept a push to {repo_name}"):
        commit = api.upload_folder(
            repo_id=repo_name,
            folder_path=folder,
            repo_type="dataset",
            commit_message=commit_message or _built_by(folder),
            # rows of another build would be read along with these
            delete_patterns="data/*",
        )
    print(f"pushed to {commit.commit_url}")
    return str(commit.commit_url)


def pushes(builder: Callable) -> Callable:
    """Give a builder of a folder `output_dir` the options `push_to_hub`, `private` and `commit_message`.

    They are not arguments of the builder itself, so they are not in the command in the card, which identifies a
    finished data set: an existing data set is pushed unchanged.
    """
    own = inspect.signature(builder)

    def build_and_push(
        *args,
        push_to_hub: Annotated[
            str | None,
            typer.Option(metavar="OWNER/NAME", help="Push the data set to the Hub under this name after the build."),
        ] = None,
        private: Private = False,
        commit_message: CommitMessage = None,
        **options,
    ):
        if push_to_hub is not None:
            check_push(push_to_hub, "data set", commit_message)
        elif private or commit_message is not None:
            raise ValueError(
                f"{'--private' if private else '--commit-message'} is for a push; give --push-to-hub OWNER/NAME as "
                "well, or leave it out."
            )
        result = builder(*args, **options)
        if push_to_hub is not None:
            output_dir = own.bind(*args, **options).arguments["output_dir"]
            try:
                push_dataset(output_dir, push_to_hub, private, commit_message)
            except OSError:
                print(f"{output_dir} is built; python dataset_scripts/push.py {output_dir} {push_to_hub} pushes it")
                raise
        return result

    wrapper = inspect.signature(build_and_push).parameters.values()
    added = [option for option in wrapper if option.kind is option.KEYWORD_ONLY]
    functools.update_wrapper(build_and_push, builder)
    # update_wrapper made it look like the builder, without the options that it adds
    build_and_push.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])
    build_and_push.__annotations__ = builder.__annotations__ | {option.name: option.annotation for option in added}
    return build_and_push


def _built_by(folder: Path) -> str:
    """A commit message with the command that made a folder, from its card."""
    for line in (folder / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith(("python dataset_scripts/", "hrm-hf data ")):
            return f"Built by {line}"
    return f"The data set {folder.name}"
