"""Text data: documents from files and data sets, tokenizers, blocks, and the folders of the builder."""

import bz2
import gzip
import importlib.util
import inspect
import json
import lzma
import runpy
import sys
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hrm_hf.text import packer as text_packer
from hrm_hf.text import sources as text_sources
from hrm_hf.text.blocks import load_text_blocks, load_text_tokenizer
from hrm_hf.text.build import build_text, command_line
from hrm_hf.text.sources import Corpus, cut, find_sources, parse_separator
from hrm_hf.text.tokenizers import bpe_tokenizer, mistral_tokenizer


ROOT = Path(__file__).parent.parent
# 60 paragraphs of real English; the rest is hard for tokenizers
PARAGRAPHS = [text for text in (ROOT / "LICENSE").read_text().strip().split("\n\n") if text.strip()]
ODD = [
    " leading and trailing ",
    "naïve – “quotes” ½ Ω 日本語 🎉🎉 é",  # one to four bytes per character, some of them without their own token
    "<|bos|> and </s> are <s> text <|eos|>",
    "▁ stands for a space in SentencePiece",
    "a  b   c\n\n\td\r\ne\x00",
    "x",
]
DOCUMENTS = [*PARAGRAPHS, *ODD]
SEPARATOR = "\n\n\n"


@pytest.fixture
def corpus(tmp_path):
    """A file with all documents."""
    path = tmp_path / "corpus.txt"
    path.write_bytes(SEPARATOR.join(DOCUMENTS).encode())
    return path


@pytest.fixture(scope="session")
def bpe():
    return bpe_tokenizer(DOCUMENTS, 400)


@pytest.fixture(scope="session")
def mistral():
    return mistral_tokenizer()


@pytest.fixture
def pack(tmp_path):
    """Pack documents with a tokenizer: rows as lists of ids, bytes of the rows, statistics."""

    def make(documents: list[str], tokenizer, block_size: int = 8, drop_tail: bool = False, num_proc: int = 2):
        pairs = [("train", text) for text in documents]
        with text_packer.BlockPacker(tmp_path / "rows.parquet", block_size, tokenizer) as packer:
            for _, text, encoding in text_packer.encode(pairs, tokenizer, num_proc):
                packer.add(text, encoding)
            packer.finish(drop_tail)
        table = pq.read_table(tmp_path / "rows.parquet")
        return table["input_ids"].to_pylist(), table["num_bytes"].to_pylist(), packer.statistics

    return make


def build(output_dir: Path, *inputs, **options):
    return build_text(output_dir, [str(entry) for entry in inputs], **({"train_bpe": 400, "block_size": 32} | options))


# --- sources


def texts(*inputs, separator: str | None = SEPARATOR, **options) -> list[str]:
    sources = find_sources([str(entry) for entry in inputs], **options)
    return [text for source in sources for text in source.documents(separator, lambda size: None)]


def test_documents_are_the_same_from_every_kind_of_source(tmp_path, corpus):
    data = corpus.read_bytes()
    (tmp_path / "folder/deeper").mkdir(parents=True)
    (tmp_path / "folder/deeper/b.txt.gz").write_bytes(gzip.compress(data))
    (tmp_path / "c.TXT.xz").write_bytes(lzma.compress(data))
    rows = [{"body": text, "id": number} for number, text in enumerate(DOCUMENTS)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "set/data/train.parquet")
    for entry in (corpus, tmp_path / "folder", tmp_path / "f*/**/*.gz", tmp_path / "c.TXT.xz"):
        assert texts(entry) == DOCUMENTS, entry
    for entry in (tmp_path / "d.jsonl", tmp_path / "set"):
        assert texts(entry, separator=None, text_column="body") == DOCUMENTS, entry


def test_without_a_separator_a_file_is_a_document(tmp_path):
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(f"text of {name}\n")
    assert texts(tmp_path, separator=None) == ["text of a.txt\n", "text of b.txt\n"]
    assert texts(tmp_path / "*", tmp_path / "a.txt", separator=None) == [
        "text of a.txt\n",
        "text of b.txt\n",
        "text of c.md\n",
    ]


COMPRESSIONS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_compressed_files_are_read_and_named_if_they_are_broken(tmp_path, ending):
    data = COMPRESSIONS[ending]("\n".join(DOCUMENTS).encode())
    path = tmp_path / f"a.txt{ending}"
    path.write_bytes(data)
    assert texts(path) == ["\n".join(DOCUMENTS)]
    assert texts(tmp_path) == ["\n".join(DOCUMENTS)]
    if ending:
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(ValueError, match=rf"a.txt{ending} is a damaged {ending} file"):
            texts(path)


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffnaïve".encode())
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\r\n{"text": "two"}\r\n')
    assert texts(tmp_path / "a.txt") == ["naïve"]
    assert texts(tmp_path / "a.jsonl") == ["one", "two"]
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfab\xff")
    with pytest.raises(ValueError, match="byte 0xff at byte offset 5"):
        texts(tmp_path / "b.txt")


def test_arrays_of_json_and_parquet_files_have_a_document_a_row(tmp_path):
    rows = [{"text": "one", "id": 1}, {"text": "two", "id": 2}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for name in ("rows.json", "rows.parquet"):
        assert texts(tmp_path / name) == ["one", "two"]
        (source,) = find_sources([str(tmp_path / name)])
        assert source.fingerprints()[0].endswith(name)
    (tmp_path / "object.json").write_text('{"text": "one"}')
    with pytest.raises(ValueError, match="object.json is not a JSON array"):
        texts(tmp_path / "object.json")
    (tmp_path / "rows.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="rows.parquet is not a Parquet file"):
        texts(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("text\none\n")
    with pytest.raises(ValueError, match="rows.csv is not plain text"):
        texts(tmp_path / "rows.csv")


def test_a_template_makes_one_text_of_several_columns(tmp_path):
    rows = [{"question": "What is {this}?", "answer": "A test.", "id": 1}, {"question": "And?", "answer": ""}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    expected = ["Q: What is {this}?\nA: A test. {}", "Q: And?\nA:  {}"]
    assert texts(tmp_path / "rows.jsonl", template="Q: {question}\nA: {answer} {{}}") == expected
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert texts(tmp_path / "rows.parquet", template="Q: {question}\nA: {answer} {{}}") == expected
    for template, message in (
        ("no column", "names no column"),
        ("{}", "names no column"),
        ("{question", "a broken brace"),
        ("{question.__class__}", "no 'question.__class__'"),
        ("{reply}", "no 'reply'; give --text-column, one of question, answer"),
        ("{id}", "id = 1, a int; expected text"),
    ):
        with pytest.raises(ValueError, match=message):
            texts(tmp_path / "rows.jsonl", template=template)


def test_other_endings_of_text_are_taken_by_option(tmp_path):
    (tmp_path / "a.md").write_text("# one")
    (tmp_path / "b.rst.gz").write_bytes(gzip.compress(b"two"))
    (tmp_path / "c.txt").write_text("three")
    assert texts(tmp_path, endings=[".md", ".rst"]) == ["# one", "two", "three"]
    assert texts(tmp_path) == ["three"]
    for ending in ("md", ".parquet", ".gz"):
        with pytest.raises(ValueError, match=f"The ending '{ending}' is not allowed"):
            texts(tmp_path, endings=[ending])
    (tmp_path / "c.txt").unlink()
    with pytest.raises(FileNotFoundError, match="--ending"):
        texts(tmp_path)


def test_the_card_has_template_and_endings(tmp_path):
    rows = [{"title": f"Number {number}", "body": "word " * 40} for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    options = {"template": r"{title}\n{body}", "endings": [".md"], "train_bpe": 270, "block_size": 64}
    statistics = build_text(tmp_path / "out", [str(tmp_path / "rows.jsonl")], validation_share=0.2, **options)
    assert sum(part.num_bytes for part in statistics.values()) == sum(
        len(f"{row['title']}\n{row['body']}") for row in rows
    )
    assert r"--template '{title}\n{body}' --ending .md" in (tmp_path / "out/README.md").read_text()
    with pytest.raises(ValueError, match="text_column=body and a template were given"):
        build_text(tmp_path / "no", [str(tmp_path / "rows.jsonl")], text_column="body", **options)


@pytest.mark.parametrize("name", ["bpe", "mistral"])
def test_evaluation_has_the_tokens_of_the_data_set(name, request):
    tokenizer = request.getfixturevalue(name)
    encode = text_packer.text_encoder(tokenizer)
    for text in ODD:
        (built,) = text_packer.encode([("train", text)], tokenizer, 1)
        assert encode(text) == built[2].ids
    special = f"a {tokenizer.eos_token} b"
    assert tokenizer.eos_token_id not in encode(special)
    assert tokenizer.eos_token_id in tokenizer(special, add_special_tokens=False)["input_ids"]


def test_files_of_a_folder_that_are_left_out_are_counted(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "notes.md").write_text("b")
    find_sources([str(tmp_path)])
    assert "1 files are not text" in capsys.readouterr().out


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 20])
def test_cutting_does_not_depend_on_the_pieces_that_a_file_is_read_in(corpus, monkeypatch, piece):
    monkeypatch.setattr(text_sources, "_PIECE", piece)
    assert texts(corpus) == DOCUMENTS
    assert list(cut(["a\n", "\n", "\n\nb", ""], SEPARATOR)) == ["a", "\nb"]


def test_a_separator_is_typed_with_escapes():
    assert parse_separator(r"\n\n\n") == "\n\n\n"
    assert parse_separator("\n—\\t日") == "\n—\t日"


def test_rows_of_the_hub_are_named_with_their_commit(tmp_path, monkeypatch):
    datasets.Dataset.from_dict({"text": ["one", "two"]}).to_parquet(tmp_path / "train.parquet")
    load, asked = datasets.load_dataset, []

    def load_from_the_folder(name, config_name, **options):
        asked.append((name, config_name, options))
        return load(str(tmp_path), **options)

    monkeypatch.setattr(datasets, "load_dataset", load_from_the_folder)
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda self, name: type("Info", (), {"sha": "0123abcd"})()
    )
    (source,) = find_sources(["owner/name"], config_name="raw")
    assert asked == [("owner/name", "raw", {"split": "train", "streaming": True})]
    assert list(source.documents(None, lambda size: None)) == ["one", "two"]
    assert source.fingerprints() == ["0123abcd  owner/name (raw, split train)"]


# --- splits


def test_the_split_of_a_document_is_a_function_of_seed_and_number():
    corpus = Corpus({"train": []}, None, validation_share=0.1, seed=3)
    held_out = [number for number in range(10_000) if corpus.split_of(number) == "validation"]
    assert held_out[:5] == [26, 27, 38, 57, 60]
    assert 900 < len(held_out) < 1100
    other = Corpus({"train": []}, None, validation_share=0.1, seed=4)
    assert held_out != [number for number in range(10_000) if other.split_of(number) == "validation"]


def test_the_build_is_the_same_for_any_number_of_threads(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(text_packer, "_BATCH", 300)
    options = {"document_separator": SEPARATOR, "validation_share": 0.2, "seed": 5}
    build(tmp_path / "one", corpus, num_proc=1, **options)
    build(tmp_path / "three", corpus, num_proc=3, **options)
    for split in ("train", "validation"):
        one, three = (load_text_blocks(tmp_path / name, split) for name in ("one", "three"))
        assert np.array_equal(one.tokens, three.tokens)
        assert np.array_equal(one.num_bytes, three.num_bytes)
    assert (tmp_path / "one/tokenizer/tokenizer.json").read_text() == (
        tmp_path / "three/tokenizer/tokenizer.json"
    ).read_text()


def test_no_document_is_lost_or_in_both_splits(tmp_path, corpus):
    statistics = build(tmp_path / "out", corpus, document_separator=SEPARATOR, validation_share=0.3)
    tokenizer = load_text_tokenizer(tmp_path / "out")
    found = {}
    for split, counts in statistics.items():
        text = tokenizer.decode(load_text_blocks(tmp_path / "out", split).tokens)
        # only one document has these tokens, and its place is known
        found[split] = text.count("<|eos|>")
        assert counts.num_bytes == load_text_blocks(tmp_path / "out", split).num_bytes.sum()
    assert sum(counts.documents for counts in statistics.values()) == len(DOCUMENTS)
    assert sum(counts.num_bytes for counts in statistics.values()) == sum(len(text.encode()) for text in DOCUMENTS)
    assert sum(found.values()) == len(DOCUMENTS) + 1


# --- tokenizers


def test_trained_bpe_spells_everything_and_has_three_special_tokens(bpe, tmp_path):
    assert len(bpe) == 400
    assert len({bpe.bos_token_id, bpe.eos_token_id, bpe.pad_token_id}) == 3
    bpe.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in DOCUMENTS:
        ids = again(text, split_special_tokens=True).input_ids
        assert ids[0] == again.bos_token_id
        assert again.decode(ids[1:]) == text


def test_mistral_tokens_are_those_of_sentencepiece(mistral, tmp_path):
    folder = importlib.util.find_spec("mistral_common").submodule_search_locations[0]
    original = sentencepiece.SentencePieceProcessor(f"{folder}/data/tokenizer.model.v1")
    mistral.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert (len(again), again.bos_token_id, again.eos_token_id, again.unk_token_id) == (32_000, 1, 2, 0)
    for text in DOCUMENTS:
        ids = again(text, split_special_tokens=True).input_ids
        assert ids == [1, *original.encode(text)]
        assert again.decode(ids[1:]) == text.replace("▁", " ")  # the same in both


def test_without_its_packages_mistral_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install mistral-common sentencepiece"):
        mistral_tokenizer()


# --- blocks


@pytest.mark.parametrize("name", ["bpe", "mistral"])
def test_blocks_hold_all_documents_between_bos_and_eos(name, request, pack):
    tokenizer = request.getfixturevalue(name)
    rows, _, counts = pack([*DOCUMENTS, " \n", ""], tokenizer)
    assert {len(row) for row in rows[:-1]} == {8}
    assert len(rows[-1]) == (counts.tail_tokens or 8)
    tokens = [token for row in rows for token in row]
    assert (counts.tokens, counts.blocks, counts.documents) == (len(tokens), len(rows), len(DOCUMENTS))
    assert counts.blank_documents == 2

    documents, document = [], []
    for token in tokens:
        document.append(token)
        if token == tokenizer.eos_token_id:
            documents.append(document)
            document = []
    assert document == []
    assert {ids[0] for ids in documents} == {tokenizer.bos_token_id}
    wanted = [text.replace("▁", " ") if name == "mistral" else text for text in DOCUMENTS]
    assert [tokenizer.decode(ids[1:-1]) for ids in documents] == wanted


@pytest.mark.parametrize("name", ["bpe", "mistral"])
@pytest.mark.parametrize("block_size", [2, 3, 8, 1000])
def test_bytes_of_rows_add_up_to_those_of_the_documents(name, block_size, request, pack):
    rows, num_bytes, counts = pack(DOCUMENTS, request.getfixturevalue(name), block_size)
    assert sum(num_bytes) == counts.num_bytes == sum(len(text.encode()) for text in DOCUMENTS)
    assert len(num_bytes) == len(rows)
    assert min(num_bytes) >= 0


def test_bytes_of_a_row_are_what_its_tokens_spell(bpe, mistral, pack):
    ascii_documents = [text for text in PARAGRAPHS if text.isascii()]
    rows, num_bytes, _ = pack(ascii_documents, bpe)
    special = set(bpe.all_special_ids)
    for row, size in zip(rows, num_bytes, strict=True):
        assert size == len(bpe.decode([token for token in row if token not in special]))

    rows, num_bytes, _ = pack(ascii_documents, mistral)
    started = False
    for row, size in zip(rows, num_bytes, strict=True):
        spelled = 0
        for token in row:
            piece = mistral.convert_ids_to_tokens(token)
            if token > 2:
                # the space that SentencePiece puts before a document is not text
                spelled += (1 if piece.startswith("<0x") else len(piece)) - started
            started = token == mistral.bos_token_id
        assert size == spelled


def test_a_character_over_several_tokens_counts_with_the_first(bpe, pack):
    rows, num_bytes, _ = pack(["🎉"], bpe, block_size=2)
    assert rows[0][0] == bpe.bos_token_id
    assert rows[-1][-1] == bpe.eos_token_id
    assert num_bytes == [4, 0, 0]


def test_special_tokens_in_the_text_stay_text(bpe, pack):
    rows, num_bytes, _ = pack(["<|eos|>"], bpe, block_size=1000)
    assert rows[0].count(bpe.eos_token_id) == 1
    assert num_bytes == [7]


def test_a_bos_that_is_eos_as_well_is_written_once(bpe, pack):
    # as in GPT-2
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe.backend_tokenizer, bos_token="<|eos|>", eos_token="<|eos|>"
    )
    rows, _, _ = pack(["ab", "cd"], tokenizer, block_size=1000)
    assert tokenizer.decode(rows[0]) == "ab<|eos|>cd<|eos|>"


def test_the_tail_is_kept_or_dropped_with_its_size(bpe, pack):
    kept, kept_bytes, counts = pack(PARAGRAPHS, bpe, block_size=100)
    assert 0 < counts.tail_tokens == len(kept[-1]) < 100
    dropped, dropped_bytes, same = pack(PARAGRAPHS, bpe, block_size=100, drop_tail=True)
    assert dropped == kept[:-1]
    assert (same.tail_tokens, same.tail_bytes) == (len(kept[-1]), kept_bytes[-1])
    assert sum(dropped_bytes) + same.tail_bytes == same.num_bytes
    assert (counts.blocks, same.blocks) == (len(kept), len(kept) - 1)


def test_rows_are_written_as_they_fill(bpe, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(text_packer, "_ROW_GROUP", 10)
    rows, _, _ = pack(PARAGRAPHS, bpe)
    groups = pq.ParquetFile(tmp_path / "rows.parquet").metadata
    assert [groups.row_group(index).num_rows for index in range(3)] == [10, 10, 10]
    assert groups.num_rows == len(rows)


# --- folders


def test_folder_opens_with_load_dataset_and_says_how_it_was_made(tmp_path, corpus, capsys):
    (tmp_path / "held").mkdir()
    (tmp_path / "held/out.txt").write_text("Held out.\n\n\nTwice.\n\n\n \n")
    statistics = build(
        tmp_path / "out", corpus, validation_inputs=[str(tmp_path / "held")], document_separator=r"\n\n\n"
    )
    printed = capsys.readouterr().out
    train = statistics["train"]
    assert f"train: {len(DOCUMENTS)} documents, {train.num_bytes:,} bytes, {train.tokens:,} tokens" in printed
    assert f"blocks of 32, the last of {train.tail_tokens}\n" in printed
    assert "validation: 1 blank documents left out" in printed

    splits = datasets.load_dataset(str(tmp_path / "out"))
    assert {name: len(rows) for name, rows in splits.items()} == {
        split: counts.blocks for split, counts in statistics.items()
    }
    assert splits["train"].features["input_ids"].feature.dtype == "int32"
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    assert list(streamed) == list(splits["train"])
    blocks = load_text_blocks(tmp_path / "out", "train")
    for row in (0, 5, -1):
        assert blocks[row]["input_ids"].tolist() == splits["train"][row]["input_ids"]
        assert blocks[row]["num_bytes"] == splits["train"][row]["num_bytes"]
    assert (len(blocks), blocks.block_size) == (train.blocks, 32)

    card = (tmp_path / "out/README.md").read_text()
    command = "build_text.py out --input corpus.txt --validation-input held --train-bpe 400 --block-size 32"
    assert rf"{command} --document-separator '\n\n\n'" in card
    assert str(tmp_path) not in card
    assert f"{text_sources.sha256(corpus)}  {tmp_path.name}/corpus.txt\n" in card
    assert f"| train | {len(DOCUMENTS)} | {train.num_bytes:,} | {train.tokens:,} |" in card


def test_command_names_no_folder_of_the_machine(tmp_path, corpus, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"output_dir": Path("/srv/me/out"), "inputs": ["/srv/me/in/**/*.txt", "books", "owner/name"]}
    options |= {"tokenizer": "/srv/me/tok", "drop_tail": True, "overwrite": True, "num_proc": 7}
    defaults = {name: it.default for name, it in inspect.signature(build_text).parameters.items()}
    assert command_line(defaults | options) == (
        "python dataset_scripts/build_text.py out --input '**/*.txt' --input books --input owner/name "
        "--tokenizer tok --drop-tail"
    )


def test_existing_folders_are_not_replaced_unasked(tmp_path, corpus):
    options = {"document_separator": SEPARATOR, "validation_share": 0.3}
    build(tmp_path / "out", corpus, **options)
    with pytest.raises(FileExistsError, match="is already a data set.*--overwrite"):
        build(tmp_path / "out", corpus, **options, seed=1)
    build(tmp_path / "out", corpus, **(options | {"block_size": 16}), overwrite=True)
    assert load_text_blocks(tmp_path / "out", "train").block_size == 16


@pytest.mark.parametrize("kind", ["trained", "given"])
def test_the_same_command_finds_its_data_set_again(tmp_path, corpus, bpe, capsys, kind):
    options = {"document_separator": SEPARATOR, "validation_share": 0.3}
    bpe.save_pretrained(tmp_path / "tok")
    if kind == "given":
        options |= {"train_bpe": None, "tokenizer": str(tmp_path / "tok")}
    statistics = build(tmp_path / "out", corpus, **options)
    written = (tmp_path / "out/README.md").stat().st_mtime_ns
    assert build(tmp_path / "out", corpus, **options) == statistics
    assert "nothing to do" in capsys.readouterr().out
    assert (tmp_path / "out/README.md").stat().st_mtime_ns == written
    if kind == "given":
        # another tokenizer in the same place
        bpe_tokenizer(DOCUMENTS, 300).save_pretrained(tmp_path / "tok")
    else:
        corpus.write_bytes(corpus.read_bytes() + b"!")
    with pytest.raises(FileExistsError, match="is already a data set.*--overwrite"):
        build(tmp_path / "out", corpus, **options)


def test_blocks_are_read_without_datasets(tmp_path, corpus, monkeypatch):
    build(tmp_path / "out", corpus, document_separator=SEPARATOR, validation_share=0.3)
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import raises
    blocks = load_text_blocks(str(tmp_path / "out"), "validation")
    assert blocks.tokens.dtype == blocks.num_bytes.dtype == np.int32
    assert [len(row["input_ids"]) for row in blocks] == np.diff(blocks.starts).tolist()


def test_a_saved_tokenizer_is_given_by_its_folder(tmp_path, corpus, bpe):
    bpe.save_pretrained(tmp_path / "tok")
    options = {"train_bpe": None, "document_separator": SEPARATOR, "validation_share": 0.3}
    build(tmp_path / "out", corpus, tokenizer=str(tmp_path / "tok"), **options)
    assert load_text_tokenizer(tmp_path / "out").get_vocab() == bpe.get_vocab()


def test_unknown_tokens_are_counted(tmp_path, corpus, bpe, capsys):
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "[END]": 1, "the": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="[END]")
    tokenizer.save_pretrained(tmp_path / "tok")
    options = {"train_bpe": None, "document_separator": SEPARATOR, "validation_share": 0.3}
    statistics = build(tmp_path / "out", corpus, tokenizer=str(tmp_path / "tok"), **options)
    assert 0 < statistics["train"].unknown_tokens < statistics["train"].tokens
    assert "tokens are [UNK], which loses text" in capsys.readouterr().out
    assert "are not comparable" in (tmp_path / "out/README.md").read_text()
    assert sum(counts.num_bytes for counts in statistics.values()) == sum(len(text.encode()) for text in DOCUMENTS)


def test_bad_files_and_lines_are_left_out_and_counted(tmp_path, corpus, capsys):
    # the bad byte comes late, after text that would be used if the file were read in pieces
    (tmp_path / "bad.txt").write_bytes(b"before" + SEPARATOR.encode() * 2_000_000 + b"\xff")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"abc" * 99)[:-9])
    (tmp_path / "rows.jsonl").write_text('{"text": "from a line"}\n{"tex\n{"text": 7}\n{"text": "the end"}\n')
    options = {"document_separator": SEPARATOR, "validation_share": 0.3}
    inputs = [corpus, *(tmp_path / name for name in ("bad.txt", "cut.txt.gz", "rows.jsonl"))]
    with pytest.raises(ValueError, match="bad.txt is not UTF-8: .*leave it out with --on-error skip"):
        build(tmp_path / "out", *inputs, **options)
    assert not (tmp_path / "out").exists()
    statistics = build(tmp_path / "out", *inputs, **options, on_error="skip")
    assert sum(counts.documents for counts in statistics.values()) == len(DOCUMENTS) + 2
    assert sum(counts.blank_documents for counts in statistics.values()) == 0
    printed = capsys.readouterr().out
    assert f"4 bad files, lines or rows left out; the first: {tmp_path}/bad.txt is not UTF-8" in printed
    card = (tmp_path / "out/README.md").read_text()
    assert "4 bad files, lines or rows were left out." in card
    assert "--on-error skip" in card
    assert "bad.txt" not in card.partition("## Sources")[2]
    assert build(tmp_path / "out", *inputs, **options, on_error="skip") == statistics


def test_rows_without_text_are_left_out_and_counted(tmp_path, corpus):
    datasets.Dataset.from_dict({"text": [*DOCUMENTS, None]}).to_parquet(tmp_path / "set/train.parquet")
    options = {"validation_share": 0.3, "document_separator": SEPARATOR}
    build(tmp_path / "out", tmp_path / "set", **options, on_error="skip")
    assert "1 bad files, lines or rows were left out." in (tmp_path / "out/README.md").read_text()


def test_input_without_a_good_file_is_refused(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="All 1 files for the train split are bad; the last: .*bad.txt is not UTF-8"):
        build(tmp_path / "out", tmp_path / "bad.txt", document_separator=SEPARATOR, on_error="skip")


# --- bad input: one sentence, and nothing half written


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({}, {"block_size": 1}, "block_size=1 is not allowed; it must be at least 2"),
        ({}, {"num_proc": 0}, "num_proc=0 is not allowed"),
        ({}, {"validation_share": 0.0}, "validation_share=0.0 is not allowed"),
        ({}, {"train_bpe": 100}, "train_bpe=100 is not allowed; it must be at least 260"),
        ({}, {"train_bpe": 8192}, "too small for a vocabulary of 8192 tokens, it only gives .* at most --train-bpe"),
        ({}, {"block_size": 100_000}, r"training split has [\d,]+ tokens .* less than one block of 100000"),
        ({}, {"tokenizer": "mistral-v0.1"}, "Give either --tokenizer NAME or --train-bpe SIZE"),
        ({}, {"train_bpe": None}, "Give either --tokenizer NAME or --train-bpe SIZE"),
        ({}, {"train_bpe": None, "tokenizer": "no/such"}, "There is no tokenizer 'no/such'"),
        ({}, {"document_separator": ""}, "The document separator is empty"),
        ({}, {"document_separator": r"\x"}, "has a broken escape"),
        ({}, {"document_separator": None}, "validation split is empty: each of 1 documents .* 0.3"),
        ({}, {"validation_share": 1e-9}, r"validation split is empty: each of \d+ documents .* 1e-09"),
        ({"v.txt": b" \n "}, {"validation_inputs": ["v.txt"]}, "--validation-input has no text"),
        ({"v.txt": b"x"}, {"validation_inputs": ["v.txt"], "drop_tail": True}, "--drop-tail drops them"),
        ({}, {"validation_inputs": ["corpus.txt"]}, "corpus.txt is in --input and in --validation-input"),
        ({}, {"inputs": ["./nowhere.txt"]}, "There is no file, folder or glob match ./nowhere.txt"),
        ({}, {"inputs": ["no/where"]}, "There is no file or folder no/where, and no data set of this name on the Hub"),
        ({}, {"inputs": ["*.text"]}, r"The glob \*.text matches no file"),
        ({"empty/notes.md": b"x"}, {"inputs": ["empty"]}, "The folder empty contains no text; expected files that"),
        ({"f/a.txt": b"x", "f/b.parquet": b"x"}, {"inputs": ["f"]}, "contains text files .a.txt. and a data set"),
        ({"a.txt": b"ab\xff"}, {"inputs": ["a.txt"]}, "a.txt is not UTF-8: byte 0xff at byte offset 2; convert"),
        ({"a.txt": "aé".encode()[:2]}, {"inputs": ["a.txt"]}, "a.txt is not UTF-8: byte 0xc3 at byte offset 1;"),
        ({"a.txt.xz": lzma.compress(b"\xfe")}, {"inputs": ["a.txt.xz"]}, r"0xfe at byte offset \(uncompressed\) 0"),
        ({"a.txt.gz": gzip.compress(b"abc" * 99)[:-9]}, {"inputs": ["a.txt.gz"]}, "a.txt.gz is a damaged .gz file"),
        ({"a.txt.xz": b"no xz"}, {"inputs": ["a.txt.xz"]}, "a.txt.xz is a damaged .xz file"),
        ({"a.jsonl": b'{"text": "x"}\n{"tex'}, {"inputs": ["a.jsonl"]}, "a.jsonl, line 2, is not JSON"),
        ({"a.jsonl": b"[1]"}, {"inputs": ["a.jsonl"]}, "a.jsonl, line 1, is .* expected a JSON object"),
        (
            {"a.jsonl": b'{"body": "x"}'},
            {"inputs": ["a.jsonl"]},
            "line 1, has no 'text'; give --text-column, one of body",
        ),
        ({"a.jsonl": b'{"text": 7}'}, {"inputs": ["a.jsonl"]}, "line 1, has text = 7, a int; expected text"),
        ({"a.jsonl": b'{"text": "\\ud83c"}'}, {"inputs": ["a.jsonl"]}, "line 1, contains .* which is not a character"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(tmp_path, corpus, monkeypatch, files, options, message):
    monkeypatch.chdir(tmp_path)
    for name, data in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(data)
    before = sorted(tmp_path.rglob("*"))
    defaults = {"inputs": ["corpus.txt"], "train_bpe": 300, "block_size": 32, "document_separator": SEPARATOR}
    defaults |= {"validation_share": 0.3}
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        build_text(Path("out"), **(defaults | options))
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_bad_data_sets_are_refused(tmp_path, corpus):
    datasets.Dataset.from_dict({"body": ["x", None]}).to_parquet(tmp_path / "set/train.parquet")
    with pytest.raises(ValueError, match="has no column 'text'; give --text-column, one of body"):
        build(tmp_path / "out", tmp_path / "set")
    with pytest.raises(ValueError, match="row 1, has body = None, a NoneType; expected text"):
        build(tmp_path / "out", tmp_path / "set", text_column="body")
    with pytest.raises(ValueError, match="cannot be opened as a data set: Bad split: valid"):
        build(tmp_path / "out", tmp_path / "set", train_split="valid")
    assert not list(tmp_path.glob("out*"))


def test_a_tokenizer_without_eos_is_refused(tmp_path, corpus, bpe):
    PreTrainedTokenizerFast(tokenizer_object=bpe.backend_tokenizer).save_pretrained(tmp_path / "tok")
    with pytest.raises(ValueError, match="has no EOS token.*set tokenizer.eos_token.*or train a new one"):
        build(tmp_path / "out", corpus, train_bpe=None, tokenizer=str(tmp_path / "tok"), validation_share=0.999)


def test_input_in_the_output_folder_is_refused(tmp_path):
    (tmp_path / "project/data").mkdir(parents=True)
    (tmp_path / "project/README.md").write_text("years of work")
    (tmp_path / "project/data/a.txt").write_text("text")
    with pytest.raises(ValueError, match="a.txt is in the output directory, which is replaced"):
        build(tmp_path / "project", tmp_path / "project/data", overwrite=True)


def test_readers_say_what_is_missing(tmp_path, corpus):
    build(tmp_path / "out", corpus, document_separator=SEPARATOR, validation_share=0.3)
    with pytest.raises(ValueError, match="has no split 'test'; it has train, validation"):
        load_text_blocks(tmp_path / "out", "test")
    for read in (lambda name: load_text_blocks(name, "train"), load_text_tokenizer):
        with pytest.raises(FileNotFoundError, match="There is no data set folder ./nowhere; build one with"):
            read("./nowhere")
        with pytest.raises(FileNotFoundError, match="no data set folder no/where, and no data set of this name"):
            read("no/where")
    (tmp_path / "sudoku/data").mkdir(parents=True)
    pq.write_table(pa.table({"question": ["1"]}), tmp_path / "sudoku/data/train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="has no column input_ids and num_bytes, only question"):
        load_text_blocks(tmp_path / "sudoku", "train")
    with pytest.raises(FileNotFoundError, match="has no tokenizer/tokenizer.json; build it with"):
        load_text_tokenizer(tmp_path / "sudoku")


def test_script_builds_and_reports_errors_in_one_sentence(tmp_path, corpus, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    script = str(ROOT / "dataset_scripts/build_text.py")
    options = r"--document-separator \n\n\n --train-bpe 300 --block-size 64 --validation-share 0.3".split()
    monkeypatch.setattr(sys, "argv", [script, "out", "--input", "corpus.txt", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 0
    assert "vocabulary: 300 tokens; written to out" in capsys.readouterr().out
    assert (tmp_path / "out/data/validation-00000-of-00001.parquet").is_file()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--seed", "1"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("build_text.py: out is already a data set")
