"""Seeded inputs, intact and damaged: no tracebacks, no wrong board called solved, none slow.

pytest tests/fuzz --fuzz-minutes 60      # an hour instead of a minute
python -m benchmarks.fuzz                # the record of 10,000 inputs
"""

import time

import pytest

from tests.fuzz.targets import TARGETS, WrongBoard, check_maze, check_sudoku, is_worded, run_input


# share of the time, because these inputs take longest
_SHARES = dict.fromkeys(TARGETS, 1.0) | {"solve": 2.0, "command": 2.0}


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_of_every_kind_are_taken_or_refused_in_a_sentence(target, pytestconfig, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    minutes = pytestconfig.getoption("fuzz_minutes")
    end = time.monotonic() + 60 * minutes * _SHARES[target] / sum(_SHARES.values())
    seed = 0
    while seed < 10 or time.monotonic() < end:
        outcome = run_input(target, seed)
        assert outcome.failure is None, f"run_input({target!r}, {seed}): {outcome.failure}"
        seed += 1


def test_the_checks_find_what_is_wrong():
    check_sudoku("12..34..2143432.", "1234341221434321", 4)
    check_maze("S #  # G ", "S #o #oG ", 3, 3)
    for puzzle, answer in (
        ("12..34..2143432.", "1234341221434312"),
        ("12..34..2143432.", "2134341221434321"),
        ("12..34..2143432.", "12343412214343"),
    ):
        with pytest.raises(WrongBoard):
            check_sudoku(puzzle, answer, 4)
    for answer in ("S #  # G ", "So#oo#oG ", "S #o #oGo", "S #o  oG "):
        with pytest.raises(WrongBoard):
            check_maze("S #  # G ", answer, 3, 3)


def test_a_traceback_is_told_from_a_sentence():
    from processing_hrm import HRMGridProcessor

    def error_of(call) -> Exception:
        with pytest.raises(Exception) as caught:
            call()
        return caught.value

    processor = HRMGridProcessor.for_sudoku(4)
    assert is_worded(error_of(lambda: processor("12")))
    assert is_worded(error_of(lambda: open("nowhere")))
    # from the product, but not one of its messages
    assert not is_worded(error_of(lambda: processor._codec.grid(None)))
    assert not is_worded(error_of(lambda: int("x")))
    assert not is_worded(error_of(lambda: b"\xff".decode()))
