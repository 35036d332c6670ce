"""Text data sets: documents as tokens, packed into blocks of one length, in a folder that `load_dataset` opens.

README.md                    the card: how the blocks were made, from which files, and statistics
data/train-*.parquet         one row per block: `input_ids` and `num_bytes`, the bytes of text that they stand for
data/validation-*.parquet
tokenizer/                   the tokenizer, for `AutoTokenizer`
"""

import glob
import hashlib
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from hrm_hf.data import recipe as recipes
from hrm_hf.data.bad_input import OnErrorOption, left_out_lines
from hrm_hf.data.explorer import explore
from hrm_hf.data.folder import (
    CardPicture,
    SplitSize,
    check_output_dir,
    dataset_folder,
    finished_splits,
    parquet_path,
    write_card,
)
from hrm_hf.data.publish import pushes
from hrm_hf.text.packer import SCHEMA, BlockPacker, SplitStatistics, border_tokens, encode, read_statistics
from hrm_hf.text.sources import Corpus, find_sources, nothing_held_out, parse_separator, unescaped
from hrm_hf.text.tokenizers import bpe_tokenizer, load_tokenizer
from hrm_hf.utils.files import sha256
from hrm_hf.utils.parallel import NumProc, num_threads_of


_LISTED_FILES = 100  # per split, in the card
_FLAGS = {"inputs": "--input", "validation_inputs": "--validation-input", "endings": "--ending"}
# options that name files and folders, whose place on this machine is private
_PLACES = ("inputs", "validation_inputs", "tokenizer")


@pushes
def build_text(
    output_dir: Annotated[Path, typer.Argument(help="Folder to write.")],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            help="File (also .gz, .xz, .bz2 and .zst; .jsonl: one document per line; .json: an array; .parquet: one "
            "document per row), quoted glob, folder with .txt and .jsonl files or with a data set, or a data set on "
            "the Hub. Can be repeated.",
        ),
    ],
    validation_inputs: Annotated[
        list[str] | None,
        typer.Option("--validation-input", help="The same for the validation split; by default a share is held out."),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder, model on the Hub, or mistral-v0.1 (from the package mistral-common).")
    ] = None,
    train_bpe: Annotated[
        int | None,
        typer.Option(metavar="SIZE", help="Train a byte-level BPE of this size on the training split instead."),
    ] = None,
    block_size: Annotated[int, typer.Option(help="Tokens per block.")] = 1024,
    document_separator: Annotated[
        str | None,
        typer.Option(
            help=r"Split files and rows into documents at this string, such as '\n\n\n'; by default each is one "
            "document."
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="JSON and data sets: column with the text.")] = "text",
    template: Annotated[
        str | None,
        typer.Option(
            help=r"JSON and data sets: how to make the text from columns, such as 'Q: {question}\nA: {answer}'; "
            "instead of --text-column."
        ),
    ] = None,
    endings: Annotated[
        list[str] | None,
        typer.Option("--ending", help="Ending of more text files in folders, such as .md. Can be repeated."),
    ] = None,
    config_name: Annotated[str | None, typer.Option(help="Data sets: name of the configuration.")] = None,
    train_split: Annotated[str, typer.Option(help="Data sets: split to use for --input.")] = "train",
    validation_split: Annotated[
        str, typer.Option(help="Data sets: split to use for --validation-input.")
    ] = "validation",
    validation_share: Annotated[
        float, typer.Option(help="Share of the documents to hold out if there is no --validation-input.")
    ] = 0.02,
    drop_tail: Annotated[
        bool, typer.Option("--drop-tail", help="Leave out the last block of a split if it is shorter than the others.")
    ] = False,
    on_error: OnErrorOption = "stop",
    seed: Annotated[int, typer.Option(help="Seed for the choice of held-out documents.")] = 0,
    num_proc: NumProc = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing data set folder.")] = False,
) -> dict[str, SplitStatistics]:
    """Build a text data set with the splits train and validation.

    A document is a file or a row, or a part of it between separators; blank ones are left out. Every document ends
    with EOS, and starts with BOS if the tokenizer has its own; text that looks like a special token stays text. The
    documents of a split follow each other in blocks of one length; only the last block may be shorter. A data set that
    the same command made from the same files is left unchanged.

    Returns:
        Statistics by split.

    Raises:
        ValueError: for an impossible option, input that is not text, or too little of it.
        FileNotFoundError, FileExistsError: for missing input and an output directory that is in use.
        ModuleNotFoundError: if a package that `mistral-v0.1` needs is not installed.
    """
    options = dict(locals())
    num_threads = num_threads_of(num_proc)
    if block_size < 2:
        raise ValueError(f"block_size={block_size} is not allowed; it must be at least 2.")
    if not 0 < validation_share < 1:
        raise ValueError(f"validation_share={validation_share} is not allowed; it must be above 0 and below 1.")
    if (tokenizer is None) == (train_bpe is None):
        raise ValueError("Give either --tokenizer NAME or --train-bpe SIZE.")
    if document_separator is not None:
        document_separator = options["document_separator"] = parse_separator(document_separator)

    if template is not None:
        if text_column != "text":
            raise ValueError(
                f"text_column={text_column} and a template were given; give only one, since the template names its "
                "columns."
            )
        template = options["template"] = unescaped(template, "template")
    kinds = {"template": template, "endings": endings or ()}
    sources = {"train": find_sources(inputs, text_column, config_name, train_split, **kinds)}
    if validation_inputs:
        sources["validation"] = find_sources(validation_inputs, text_column, config_name, validation_split, **kinds)
    corpus = Corpus(sources, document_separator, validation_share, seed, on_error)
    corpus.check(output_dir)
    corpus.leave_out_bad_files()

    listed = source_lines(corpus)
    recipe = ["\n".join(["```", command_line(options), "```"]), "\n".join(listed)]
    if tokenizer is not None:
        tokenizer_object = load_tokenizer(tokenizer)
        recipe.append(tokenizer_sha256(tokenizer_object))
    if not overwrite and finished_splits(output_dir, *recipe):
        return {split: read_statistics(parquet_path(output_dir, split)) for split in ("train", "validation")}
    check_output_dir(output_dir, overwrite)
    if tokenizer is None:
        documents = corpus.documents("read for BPE", splits=("train",))
        tokenizer_object = bpe_tokenizer((text for _, text in documents if text.strip()), train_bpe)

    with dataset_folder(output_dir, overwrite) as partial:
        with ExitStack() as stack:
            packers = {
                split: stack.enter_context(BlockPacker(parquet_path(partial, split), block_size, tokenizer_object))
                for split in ("train", "validation")
            }
            for split, text, encoding in encode(corpus.documents("tokenize"), tokenizer_object, num_threads):
                packers[split].add(text, encoding)
            for packer in packers.values():
                packer.finish(drop_tail)
        if corpus.errors:
            print(f"{len(corpus.errors):,} bad files, lines or rows left out; the first: {corpus.errors[0]}")
        statistics = {split: packer.statistics for split, packer in packers.items()}
        check_splits(statistics, options)
        tokenizer_object.save_pretrained(partial / "tokenizer")
        write_card(
            partial,
            {split: SplitSize(packer.statistics.blocks, packer.table_bytes) for split, packer in packers.items()},
            SCHEMA,
            card_text(statistics, listed, len(corpus.errors), tokenizer_object, options),
            metadata={
                "pretty_name": output_dir.name,
                "task_categories": ["text-generation"],
                "tags": ["language-modeling", "hrm"],
            },
            pictures=[
                CardPicture(
                    explore(str(partial), rows=range(min(3, statistics["train"].blocks))),
                    "Start of the first training blocks",
                )
            ],
        )

    for split, counts in statistics.items():
        print(
            f"{split}: {counts.documents:,} documents, {counts.num_bytes:,} bytes, {counts.tokens:,} tokens "
            f"({counts.bytes_per_token:.3f} bytes per token), {counts.blocks:,} blocks of {block_size}"
            f"{tail_text(counts, drop_tail)}"
        )
        if counts.blank_documents:
            print(f"{split}: {counts.blank_documents:,} blank documents left out")
        if counts.unknown_tokens:
            print(
                f"{split}: {counts.unknown_tokens:,} tokens are {tokenizer_object.unk_token}, which loses text; do "
                "not compare bits per byte with other tokenizers"
            )
    print(f"vocabulary: {len(tokenizer_object):,} tokens; written to {output_dir}")
    return statistics


def check_splits(statistics: dict[str, SplitStatistics], options: dict):
    """Raise a `ValueError` if the training split has no full block or the validation split no block at all."""
    train, validation = statistics["train"], statistics["validation"]
    if train.tokens < options["block_size"]:
        raise ValueError(
            f"The training split has {train.tokens:,} tokens in {train.documents:,} documents, less than one block of "
            f"{options['block_size']}; give more text or a smaller --block-size."
        )
    if validation.documents == 0 and options["validation_inputs"]:
        raise ValueError("The validation split is empty: --validation-input has no text; give other files.")
    if validation.documents == 0:
        raise ValueError(nothing_held_out(train.documents, options["validation_share"]))
    if validation.blocks == 0:
        raise ValueError(
            f"The validation split is empty: its {validation.tokens:,} tokens are less than one block of "
            f"{options['block_size']} and --drop-tail drops them; keep the tail or hold out more text."
        )


def tail_text(counts: SplitStatistics, drop_tail: bool) -> str:
    """What became of the last block; follows the number of blocks."""
    if counts.tail_tokens == 0:
        return ""
    if drop_tail:
        return f"; the last {counts.tail_tokens:,} tokens ({counts.tail_bytes:,} bytes) dropped"
    return f", the last of {counts.tail_tokens:,}"


def card_text(
    statistics: dict[str, SplitStatistics], sources: list[str], num_bad: int, tokenizer, options: dict
) -> str:
    """Markdown of the data set's card: form, tokenizer, command, statistics and sources."""
    before, _ = border_tokens(tokenizer)
    borders = f"`{tokenizer.bos_token}` before each document and " if before else ""
    if options["tokenizer"] is None:
        origin = "a byte-level BPE trained on the training split"
    else:
        origin = f"`{public_input(options['tokenizer'])}`"
    if options["document_separator"] is None:
        document = "a file (JSON lines and data sets: a row)"
    else:
        document = f"the text between two `{escaped(options['document_separator'])}` in a file or row"
    if options["validation_inputs"]:
        split_rule = "The splits come from different sources, see below."
    else:
        split_rule = (
            f"A share of {options['validation_share']} of the documents is held out for validation, chosen by a hash "
            f"of the seed {options['seed']} and the document's number."
        )
    dropped_text = ", except for the dropped ends" if options["drop_tail"] else ""
    lines = [
        f"# {options['output_dir'].name}",
        "",
        f"Each row is a block of {options['block_size']} tokens: `input_ids`, and `num_bytes`, the number of bytes of",
        "text (UTF-8) that they stand for; special tokens stand for none. The bytes of all rows of a split add up to",
        f"those of its documents{dropped_text}. A model's bits per byte are the sum of its losses divided by the",
        "number of bytes and by ln 2.",
        "",
        "```python",
        "from datasets import load_dataset",
        "from transformers import AutoTokenizer",
        "",
        f'blocks = load_dataset("{options["output_dir"].name}", split="train")',
        f'tokenizer = AutoTokenizer.from_pretrained("{options["output_dir"].name}/tokenizer")',
        'print(tokenizer.decode(blocks[0]["input_ids"]))',
        "```",
        "",
        "## How it was made",
        "",
        "```",
        command_line(options),
        "```",
        "",
        f"- Tokenizer: {origin}, {len(tokenizer):,} tokens; `tokenizer/tokenizer.json` has the SHA-256",
        f"  `{tokenizer_sha256(tokenizer)}`.",
        f"- A document is {document}; blank ones are left out.",
        f"- {borders}`{tokenizer.eos_token}` after it; text that looks like a special token is text.",
        "- The documents of a split follow each other in order, across the borders of blocks.",
        f"- {split_rule}",
        f"- tokenizers {version('tokenizers')}, transformers {version('transformers')}.",
        "",
        "## Statistics",
        "",
        "| split | documents | bytes | tokens | bytes per token | blocks | last block |",
        "|---|---|---|---|---|---|---|",
    ]
    for split, counts in statistics.items():
        tail = f"{counts.tail_tokens:,} tokens, {counts.tail_bytes:,} bytes" if counts.tail_tokens else "full"
        dropped = ", dropped" if counts.tail_tokens and options["drop_tail"] else ""
        lines.append(
            f"| {split} | {counts.documents:,} | {counts.num_bytes:,} | {counts.tokens:,} | "
            f"{counts.bytes_per_token:.3f} | {counts.blocks:,} | {tail}{dropped} |"
        )
    lines += ["", "The numbers of tokens include BOS and EOS."]
    blank = sum(counts.blank_documents for counts in statistics.values())
    unknown = sum(counts.unknown_tokens for counts in statistics.values())
    if blank:
        lines += [f"{blank:,} blank documents were left out."]
    if unknown:
        lines += [
            f"{unknown:,} tokens are `{tokenizer.unk_token}`, which loses text: bits per byte are not comparable with "
            "other tokenizers."
        ]
    lines += left_out_lines(num_bad, "files, lines or rows")
    return "\n".join([*lines, "", "## Sources", "", *sources])


def tokenizer_sha256(tokenizer) -> str:
    """SHA-256 of the tokenizer.json that a tokenizer is saved as."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return sha256(Path(folder, "tokenizer.json"))


def source_lines(corpus: Corpus) -> list[str]:
    """Lines of the card about the sources of each split, with their SHA-256."""
    lines = []
    for split, sources in corpus.sources.items():
        prints = [line for source in sources for line in source.fingerprints()]
        heading = "Both splits" if len(corpus.sources) == 1 else split.capitalize()
        if len(prints) > _LISTED_FILES:
            digest = hashlib.sha256("".join(f"{line}\n" for line in prints).encode()).hexdigest()
            lines += [f"{heading}: {len(prints):,} files; the list of their SHA-256 has the SHA-256 `{digest}`.", ""]
        else:
            lines += [f"{heading}:", "", "```", *prints, "```", ""]
    return lines


def command_line(options: dict) -> str:
    """The command that repeats a build, as in its card."""
    return recipes.command_line("build_text.py", build_text, options, _FLAGS, _shown)


def _shown(name: str, value: object) -> str:
    """The value of an option, as in the card."""
    if name in ("document_separator", "template"):
        return escaped(value)
    return public_input(value) if name in _PLACES else str(value)


def public_input(entry: str) -> str:
    """An input or a tokenizer as given, but without the folders of this machine if the path is absolute."""
    path = Path(entry).expanduser()
    if not path.is_absolute():
        return entry
    parts = path.parts
    first_glob = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[first_glob:]))


def escaped(separator: str) -> str:
    """A separator as typed on a command line."""
    return separator.encode("unicode_escape").decode()
