"""The data explorer: data sets by name, rows by source and rating, its endpoints, and the page in a browser."""

import base64
import shutil

import numpy as np
import pytest
from gradio_client.exceptions import AppError
from served_pages import (
    RUBBISH,
    client,  # noqa: F401  a fixture
    open_tab,
    world,
)

from hrm_hf.app.data_page import matching_rows, page_html, statistics, statistics_html
from hrm_hf.app.data_sets import DataShelf
from hrm_hf.data.row_filter import RowFilter


COLUMNS = {"source": np.array(["a", "b", "a", "c"]), "rating": np.array([5, 0, 30, 12])}


@pytest.fixture(scope="module")
def shelf() -> DataShelf:
    return DataShelf(world().root / "data")


# --- rows


@pytest.mark.parametrize(
    ("row_filter", "rows"),
    [
        (RowFilter(), [0, 1, 2, 3]),
        (RowFilter(["a"]), [0, 2]),
        (RowFilter(["a", "c"], lowest=6), [2, 3]),
        (RowFilter(lowest=5, highest=12), [0, 3]),
        (RowFilter(["nobody"]), []),
    ],
)
def test_rows_by_source_and_rating(row_filter, rows):
    assert row_filter.rows(COLUMNS, 4).tolist() == rows


def test_a_filter_that_cannot_be_says_so():
    with pytest.raises(ValueError, match="from 9 to 3"):
        RowFilter(lowest=9, highest=3).rows(COLUMNS, 4)
    with pytest.raises(ValueError, match="no rating"):
        RowFilter(lowest=1).rows({}, 4)


# --- data sets


def test_data_sets_and_their_splits(shelf):
    assert shelf.names() == ["arc", "maze", "sudoku-4x4", "text"]
    assert shelf.splits("sudoku-4x4") == {"default": ["train", "test"]}
    assert shelf.splits("arc") == {"tasks": ["tasks"], "plans": ["train", "test"]}
    assert shelf.splits("text") == {"default": ["train", "validation"]}
    assert "---" not in shelf.card("maze")[:10]


@pytest.mark.parametrize("name", ["..", "../data/maze", "", "maze/../maze", "/etc", None, 7, ["maze"], "\x00"])
def test_no_name_leads_out_of_the_root(shelf, name):
    with pytest.raises(ValueError, match="There is no data set"):
        shelf.open(name, "default", "train")


def test_a_split_or_subset_that_is_not_there_is_named(shelf):
    with pytest.raises(ValueError, match="no subset 'tasks'; it has default"):
        shelf.open("maze", "tasks", "train")
    with pytest.raises(ValueError, match="no split '../train'; it has train, test"):
        shelf.open("maze", "default", "../train")


def test_a_damaged_data_set_says_so_without_its_place(tmp_path):
    shutil.copytree(world().root / "data" / "text", tmp_path / "text")
    (tmp_path / "text" / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match="text has no tokenizer") as error:
        DataShelf(tmp_path).open("text", "default", "train")
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("card", ["---\na: [\n---\n", "---\n- 1\n---\n", "---\nconfigs: 7\n---\n"])
def test_a_card_that_is_damaged_is_no_matter_of_the_others(client, card):  # noqa: F811
    root = world().root / "data"
    bad = root / "bad"
    shutil.copytree(root / "maze", bad)
    try:
        # the smallest, which the page would begin with
        (bad / "data/test-00000-of-00001.parquet").unlink()
        (bad / "README.md").write_text(card)
        (root / "empty/data").mkdir(parents=True)
        (root / "empty/README.md").write_text("nothing")
        listed = {entry["name"]: entry for entry in client.predict(api_name="/data_sets")}
        assert set(listed) == {"arc", "bad", "empty", "maze", "sudoku-4x4", "text"}
        assert listed["maze"]["subsets"] == {"default": ["train", "test"]}
        assert "no files" in listed["empty"]["error"]
        shelf = DataShelf(root)
        assert shelf.quickest() not in ("bad", "empty")
        with pytest.raises(ValueError, match="bad cannot be opened as a data set|bad/README.md does not start with"):
            shelf.open("bad", "default", "train")
        assert shelf.open("maze", "default", "train").num_rows == 6
    finally:
        shutil.rmtree(bad)
        shutil.rmtree(root / "empty", ignore_errors=True)


def test_only_a_few_splits_stay_open(shelf):
    for name, subset, split in (("maze", "default", "train"), ("arc", "tasks", "tasks"), ("arc", "plans", "test")):
        assert shelf.open(name, subset, split) is shelf.open(name, subset, split)
    first = shelf.open("maze", "default", "train")
    shelf.open("sudoku-4x4", "default", "test")
    shelf.open("text", "default", "validation")
    shelf.open("arc", "plans", "train")
    assert shelf.open("maze", "default", "train") is not first


# --- what is shown


def test_boards_are_pictures_with_words(shelf):
    opened = shelf.open("sudoku-4x4", "default", "train")
    rows = matching_rows(opened, [], None, None)
    html, page = page_html(opened, rows, 2, 0)
    assert page == 2
    assert "Page 2 of 3; all rows." in html
    question = opened.content(4)["question"]
    assert f'alt="sudoku 4x4 {question} with the answer' in html
    assert html.count("<img") == 4
    assert opened.picture(4).startswith(b"\x89PNG")
    assert "path of 1" in page_html(shelf.open("maze", "default", "train"), np.array([0]), 1, 0)[0]


def test_pages_that_are_not_there_and_filters_without_rows(shelf):
    opened = shelf.open("sudoku-4x4", "default", "train")
    for page, shown in ((99, 3), (-1, 1), (None, 1), (float("nan"), 1), ("x", 1)):
        assert page_html(opened, np.arange(12), page, None)[1] == shown
    assert "widen the range" in page_html(opened, np.array([], dtype=int), 1, 0)[0]


def test_augmentations_of_arc_are_other_pictures(shelf):
    opened = shelf.open("arc", "plans", "test")
    assert opened.num_members(0) == 4
    assert opened.picture(0, 0) != opened.picture(0, 1)
    assert opened.content(0, 1)["augmentation"] != opened.content(0, 0)["augmentation"]
    assert "form 3 of 0 to 3" in page_html(opened, np.array([0]), 1, 99)[0]
    tasks = shelf.open("arc", "tasks", "tasks")
    assert len(tasks.content(1)["train"]) == 2
    assert tasks.picture(1).startswith(b"\x89PNG")


def test_text_is_escaped_text(shelf):
    opened = shelf.open("text", "default", "validation")
    html, _ = page_html(opened, np.array([0]), 1, 0)
    assert "&lt;b&gt;king&lt;/b&gt;" in html
    assert "<b>" not in html


def test_statistics_count_the_rows_that_match(shelf):
    opened = shelf.open("sudoku-4x4", "default", "train")
    bars = statistics(opened, np.arange(5))
    assert {name: sum(count for _, count in part) for name, part in bars.items()} == {
        "source": 5,
        "rating": 5,
        "clues": 5,
    }
    assert "Rows by clues of a puzzle" in statistics_html(opened, np.arange(5))
    assert set(statistics(shelf.open("text", "default", "train"), np.arange(9))) == {"bytes", "tokens"}
    assert "length of the path" in statistics_html(shelf.open("maze", "default", "test"), np.array([], dtype=int))


# --- endpoints


def test_endpoints_give_rows_pictures_and_statistics(client):  # noqa: F811
    names = {entry["name"]: entry["subsets"] for entry in client.predict(api_name="/data_sets")}
    assert names["maze"] == {"default": ["train", "test"]}
    rows = client.predict("sudoku-4x4", "default", "test", [], 0, None, 1, 2, api_name="/data_rows")
    assert rows["num_rows"] == rows["num_matching"] == 6
    assert [row["row"] for row in rows["rows"]] == [1, 2]
    assert len(rows["rows"][0]["question"]) == 16
    arc = client.predict("arc", "plans", "train", count=1, member=2, api_name="/data_rows")
    assert arc["rows"][0]["train"][0]["input"]
    assert "king" in client.predict("text", count=1, api_name="/data_rows")["rows"][0]["text"]
    picture = client.predict("maze", "default", "train", 3, 0, api_name="/data_picture")
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    bars = client.predict("maze", api_name="/data_statistics")
    assert sum(count for _, count in bars["steps"]) == 6


@pytest.mark.parametrize("rubbish", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_answered_with_a_sentence(client, rubbish):  # noqa: F811
    with pytest.raises(AppError, match="There is no data set"):
        client.predict(rubbish, api_name="/data_rows")
    with pytest.raises(AppError, match="has no subset"):
        client.predict("maze", rubbish, "train", 0, api_name="/data_picture")
    with pytest.raises(AppError, match="has no split"):
        client.predict("maze", "default", rubbish, api_name="/data_statistics")
    found = client.predict("maze", "default", "train", [rubbish], api_name="/data_rows")
    assert found["num_matching"] == 0
    if rubbish:
        with pytest.raises(AppError, match="rating=.* must be a number"):
            client.predict("maze", "default", "train", [], rubbish, api_name="/data_rows")


def test_rows_and_numbers_that_are_not_there_are_answered_with_a_sentence(client):  # noqa: F811
    with pytest.raises(AppError, match="There is no row 99"):
        client.predict("maze", "default", "train", 99, api_name="/data_picture")
    with pytest.raises(AppError, match="There is no augmentation 5"):
        client.predict("maze", "default", "train", 0, 5, api_name="/data_picture")
    with pytest.raises(AppError, match="has no picture"):
        client.predict("text", "default", "train", 0, api_name="/data_picture")
    with pytest.raises(AppError, match="from 9 to 3"):
        client.predict("sudoku-4x4", lowest_rating=9, highest_rating=3, api_name="/data_rows")
    assert client.predict("maze", first=10**12, count=10**12, api_name="/data_rows")["rows"] == []


# --- in a browser


def test_a_visitor_pages_through_boards_and_augmentations(chromium):
    page = open_tab(chromium, "Data", width=390)
    rows = page.locator("#data-rows")
    rows.locator("figure").first.wait_for()
    page.locator("#data-set input").click()
    page.get_by_role("option", name="sudoku-4x4").click()
    rows.locator("img[alt^='sudoku 4x4']").first.wait_for()
    page.locator("#data-next").click()
    rows.get_by_text("Page 2 of 3").wait_for()
    assert page.locator("#data-counts svg[role=img]").count() == 3
    page.locator("#data-set input").click()
    page.get_by_role("option", name="arc").click()
    rows.get_by_text("form 0 of 0 to 3").wait_for()
    page.locator("#data-member input").fill("2")
    rows.get_by_text("form 2 of 0 to 3").wait_for()
    page.locator("#data-set input").click()
    page.get_by_role("option", name="text").click()
    rows.locator("pre").first.wait_for()
    page.close()
