"""The reader of puzzles: common notations in files and pasted text, and what it refuses to guess."""

import json

import pytest

from hrm_hf.puzzles.text import decode_text, read_puzzles
from processing_hrm import SUDOKU_NOTATIONS, HRMGridProcessor


HARD = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."
ANSWER = "812753649943682175675491283154237896369845721287169534521974368438526917796318452"
OTHER = "..53.....8......2..7..1.5..4....53...1..7...6..32...8..6.5....9..4....3......97.."
ROWS = [HARD[start : start + 9] for start in range(0, 81, 9)]
FIELDS = [[" " if cell == "." else cell for cell in row] for row in ROWS]
SPLIT = [f"{row[:3]}|{row[3:6]}|{row[6:]}" for row in ROWS]
DRAWN = HRMGridProcessor.for_sudoku().pretty
LINES, OTHER_LINES = "\n".join(ROWS), "\n".join(OTHER[start : start + 9] for start in range(0, 81, 9))

TEXTS_OF_ONE = {
    "sdk file": f"#A An Author\n#D A hard one\n#B 2010-01-01\n#S\n#L Hard\n{LINES}\n",
    "sdk sections": f"[Puzzle]\n{LINES}\n",
    "ss file": "\n-----------\n".join("\n".join(SPLIT[top : top + 3]) for top in (0, 3, 6)) + "\n",
    "starred frame": "*-----------*\n"
    + "\n|---+---+---|\n".join("\n".join(f"|{row}|" for row in SPLIT[top : top + 3]) for top in (0, 3, 6))
    + "\n*-----------*\n",
    "spaced board": DRAWN(HARD),
    "bands apart": "\n\n".join("\n".join(ROWS[top : top + 3]) for top in (0, 3, 6)),
    "windows line ends": LINES.replace("\n", "\r\n"),
    "dashes in rows": LINES.replace(".", "-"),
    "dashes in a frame of dashes": "\n---+---+---\n".join(
        "\n".join(SPLIT[top : top + 3]) for top in (0, 3, 6)
    ).replace(".", "-"),
    "stars": HARD.replace(".", "*"),
    "zeros": HARD.replace(".", "0"),
    "underscores": HARD.replace(".", "_"),
    "other columns": f"{HARD} 10.2 x",
    "columns of the original": f"source,question,answer,rating\nname,{HARD},{ANSWER},12\n",
    "columns of Kaggle": f"quizzes,solutions\n{HARD.replace('.', '0')},{ANSWER}\n",
    "tabs": "\n".join("\t".join(row).replace(" ", "") for row in FIELDS),
    "commas": "\n".join(",".join(row) for row in FIELDS),
    "list of numbers": str([[0 if cell == " " else int(cell) for cell in row] for row in FIELDS]),
    "list with None": str([[None if cell == " " else int(cell) for cell in row] for row in FIELDS]),
    "list of rows": json.dumps(ROWS),
    "JSON of the command": json.dumps({"solved": True, "puzzle": HARD, "answer": ANSWER}),
    "answer of the command": f"{DRAWN(ANSWER, given=HARD)}\nsolved (3 segments)\n\n",
    "no answer of the command": f"{DRAWN(HARD, given=HARD)}\nnot solved: row 1 (a) (64 segments on 8 copies)\n\n",
    "steps of the command": f"after segment 1:\n{DRAWN(OTHER, given=HARD)}\n\n{DRAWN(ANSWER, given=HARD)}\n"
    "solved (1 segment)\n",
}


@pytest.mark.parametrize("form", TEXTS_OF_ONE)
def test_every_form_is_the_same_puzzle(form):
    assert [puzzle.board for puzzle in read_puzzles(TEXTS_OF_ONE[form]).puzzles] == [HARD]


@pytest.mark.parametrize(
    "text",
    [
        f" {HARD} \n\n{OTHER}\n",
        f"{LINES}\n\n{OTHER_LINES}\n",
        f"{LINES}\n{OTHER_LINES}",
        f"Grid 01\n{LINES}\nGrid 02\n{OTHER_LINES}".replace(".", "0"),
        f"# the first\n{LINES}\n# the second\n{OTHER}",
        f"{HARD.replace('.', '-')}\n{OTHER.replace('.', '*')}",
        json.dumps([HARD, OTHER]),
        f"\ufeff{HARD}\r\n{OTHER}\r\n",
    ],
)
def test_several_puzzles_of_a_text(text):
    assert [puzzle.board for puzzle in read_puzzles(text).puzzles] == [HARD, OTHER]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_encodings_of_files(encoding):
    text = f"# José\r\n{HARD}\r\n{OTHER}\r\n"
    read = read_puzzles(decode_text(text.encode(encoding), "puzzles.txt"))
    assert [puzzle.board for puzzle in read.puzzles] == [HARD, OTHER]


def test_bytes_that_are_no_text_are_refused():
    for data in (b"\x7fELF\x02\x01\x01\0\0\0abcdefghijklmnopqrstuvwxyz", "\ufeff123".encode("utf-16-le")[:-1]):
        with pytest.raises(ValueError, match="puzzles.txt is no"):
            decode_text(data, "puzzles.txt")


def test_what_is_left_out_is_named():
    read = read_puzzles(f"Grid 01\n# a comment\n{LINES}\n{OTHER},10.2,x")
    assert read.left_out == ["line 1: 'Grid 01'", "2 other columns"]
    assert read_puzzles(HARD).left_out == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HARD}\n{OTHER[:80]}", "line 2: .*80 cells"),
        (f"{HARD}\nx{OTHER[1:]}", "line 2: .*'x'"),
        ("\n".join(ROWS[:8]), "line 1: .*8 rows of 9 cells"),
        (f"{LINES}\n\n{OTHER_LINES[:-10]}", "line 11: .*8 rows of 9 cells"),
        (f"{HARD}\n2010-01-01", "line 2: .*8 cells"),
        ("# nothing but a comment", "no puzzle"),
        ("", "no puzzle"),
        ("-" * 81, "no puzzle"),
        ("Grid 01", "no puzzle .*Grid 01"),
        ('{"solved": true}', "no 'puzzle'"),
        ('{"puzzle": ', "not a valid JSON object"),
        ("[[1, 2], [3]]", "an invalid board"),
    ],
)
def test_what_looks_like_a_puzzle_and_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_puzzles(text)


def test_dashes_are_cells_where_the_digits_say_so():
    # without its dashes it would have the 16 cells of a 4x4 board
    line = "-" * 20 + "1234345612612345"
    (found,) = read_puzzles(line).puzzles
    assert found.board == line.replace("-", ".")


def test_a_rule_of_dashes_is_no_board():
    assert [puzzle.board for puzzle in read_puzzles(f"{'-' * 36}\n{HARD}\n{'-' * 81}\n").puzzles] == [HARD]


def test_small_boards_on_lines_are_no_rows_of_a_large_one():
    puzzle = "12..34..2143432."
    assert [found.board for found in read_puzzles("\n".join([puzzle] * 16)).puzzles] == [puzzle] * 16


# --- mazes


@pytest.mark.parametrize(
    ("text", "mazes"),
    [
        ("S  G\n G# S\n", ["S  G", " G# S"]),
        ("  S#\n    \n G  \n\n\nS \n G\n", ["  S#\n    \n G  ", "S \n G"]),
        ("\r\n S#\r\n G \r\n", [" S#\n G "]),
        ("#####\n#S G#\n#####\n#####\n#G S#\n#####", ["#####\n#S G#\n#####", "#####\n#G S#\n#####"]),
        ("# a maze from S to G\n\n#####\n#S G#\n#####", ["#####\n#S G#\n#####"]),
        ("+---+\n|S #|\n|G  |\n+---+", ["S #\nG  "]),
        # the command's own answer
        ("#####\n#SoG#\n#####\nsolved (1 segment)\n", ["#####\n#S G#\n#####"]),
        # the processor reports the errors of these
        ("#####\n#   #\n#  G#\n#####", ["#####\n#   #\n#  G#\n#####"]),
        ("#####\n#Sx #\n#  G#\n#####", ["#####\n#Sx #\n#  G#\n#####"]),
    ],
)
def test_mazes_of_a_text(text, mazes):
    found = read_puzzles(text).puzzles
    assert [puzzle.board for puzzle in found] == mazes and all(puzzle.task == "maze" for puzzle in found)


def test_a_line_with_a_hash_is_a_maze_only_if_it_is_one():
    for comment in ("#", "##########", "# S", "#S", "# 81 cells"):
        assert [(puzzle.board, puzzle.task) for puzzle in read_puzzles(f"{comment}\n{LINES}\n").puzzles] == [
            (HARD, "sudoku")
        ]


# --- notations of 16x16


@pytest.fixture(scope="module")
def board() -> str:
    """A 16x16 Sudoku in 1-G that has every digit, and blank cells."""
    from hrm_hf.puzzles.sudoku.generator import generate
    from hrm_hf.puzzles.sudoku.rules import format_boards

    line = format_boards(generate(1, 16, 150, seed=0, progress=False)[0])[0]
    assert set(line) == {".", *SUDOKU_NOTATIONS["1-G"]}
    return line


def written(board: str, notation: str) -> str:
    return board.translate(str.maketrans(SUDOKU_NOTATIONS["1-G"], SUDOKU_NOTATIONS[notation]))


@pytest.mark.parametrize("notation", SUDOKU_NOTATIONS)
def test_the_notation_is_told_by_the_symbols(board, notation):
    line = written(board, notation)
    rows = "\n".join(line[start : start + 16] for start in range(0, 256, 16))
    processor = HRMGridProcessor.for_sudoku(16)
    for text in (line, rows, line.lower(), rows.replace(".", "_")):
        (puzzle,) = read_puzzles(text).puzzles
        assert (puzzle.board, puzzle.notation) == (board, notation)
        assert processor(text)["input_ids"].tolist() == processor(board)["input_ids"].tolist()
    own = processor.in_notation(notation)
    assert own.decode(own(line)["input_ids"][0]) == line
    assert own(line)["input_ids"].tolist() == processor(board)["input_ids"].tolist()


def test_zero_as_a_blank_cell_is_no_digit(board):
    assert read_puzzles(board.replace(".", "0")).puzzles[0].board == board
    without_g = board.replace("G", ".")
    assert read_puzzles(without_g.replace(".", "0")).puzzles[0].board == without_g


def test_numbers_up_to_sixteen_between_spaces(board):
    numbers = [str(SUDOKU_NOTATIONS["1-G"].find(cell) + 1) for cell in board]
    rows = "\n".join(" ".join(numbers[start : start + 16]) for start in range(0, 256, 16))
    assert read_puzzles(rows).puzzles[0].board == board


def test_a_notation_that_is_not_sure_is_refused(board):
    without_g = board.replace("G", ".")
    with pytest.raises(ValueError, match="1-G and 0-F.*--notation"):
        read_puzzles(without_g)
    assert read_puzzles(without_g, notation="1-G").puzzles[0].board == without_g
    (hexadecimal,) = read_puzzles(without_g, notation="0-F").puzzles
    assert hexadecimal.board != without_g and hexadecimal.notation == "0-F"
    with pytest.raises(ValueError, match="'G' is not a digit"):
        read_puzzles(board, notation="0-F")
    with pytest.raises(ValueError, match="fit no notation"):
        read_puzzles(board.replace("1", "P"))
    with pytest.raises(ValueError, match="notation='hex'"):
        read_puzzles(board, notation="hex")


def test_a_processor_of_a_notation_is_saved_with_it(tmp_path):
    HRMGridProcessor("sudoku", 16, 16, notation="0-F").save_pretrained(tmp_path)
    assert HRMGridProcessor.from_pretrained(tmp_path).notation == "0-F"
    with pytest.raises(ValueError, match="notation='0-F' is not allowed"):
        HRMGridProcessor("sudoku", 9, 9, notation="0-F")
