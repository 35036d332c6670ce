"""The static page in headless Chromium: time until the first solve, time for a hard puzzle, and size.

    python spaces_app/build_static.py build/static-space
    python -m benchmarks.static_page build/static-space --pictures

The first solve is timed from the request for the page, in a browser context with empty storage. Times depend on the
load of the machine, so the record has its load average and the CPU seconds of all processes of the browser: on an idle
machine the wall time is no more than these.
"""

import argparse
import functools
import http.server
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.records import ROOT, processor_name, write_records
from hrm_hf.utils.files import whole_file


CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# famous ones: Arto Inkala's of 2006 and 2012, and others of the hardest from forums
HARD = (
    "1....7.9..3..2...8..96..5....53..9...1..8...26....4...3......1..4......7..7...3..",
    "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4..",
    "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9",
    ".......1.4.........2...........5.4.7..8...3....1.9....3..4..2...5.1........8.6...",
    "85...24..72......9..4.........1.7..23.5...9...4...........8..7..17..........36.4.",
)
VERDICT = "#verdict.good, #verdict.bad"
ROUNDS = 5


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; gives its address."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


def cpu_seconds() -> float:
    """User and system time of all processes below this one."""
    parents, seconds = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            parents[int(folder.name)] = int(fields[1])
            seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    below = {os.getpid()}
    while found := {process for process, parent in parents.items() if parent in below} - below:
        below |= found
    return sum(seconds[process] for process in below - {os.getpid()})


def first_solves(browser: Browser, url: str) -> list[tuple[float, float]]:
    """Wall and CPU seconds from the request to the solved puzzle, each in a new context."""
    seconds = []
    for _ in range(ROUNDS):
        context = browser.new_context()
        page = context.new_page()
        start, spent = time.perf_counter(), cpu_seconds()
        page.goto(url, wait_until="commit")
        page.click("#solve", timeout=60_000)
        page.wait_for_selector(VERDICT, timeout=60_000)
        seconds.append((time.perf_counter() - start, cpu_seconds() - spent))
        context.close()
    return seconds


def hard_solves(browser: Browser, url: str) -> list[dict]:
    """Seconds and segments per hard puzzle and round, after a warm-up, and whether it was solved."""
    page = browser.new_page()
    page.goto(url)
    solved = []
    for number in range(1 + ROUNDS):
        for puzzle in HARD:
            page.goto(f"{url}#s={puzzle}")
            page.wait_for_selector("#verdict:not(.good):not(.bad)")
            spent = cpu_seconds()
            page.click("#solve")
            page.wait_for_selector(VERDICT, timeout=60_000)
            spent = cpu_seconds() - spent
            if number > 0:  # the first round warms up
                milliseconds = page.evaluate("Number(document.body.dataset.solveMs)")
                is_solved = page.inner_text("#verdict").startswith("Solved")
                segments = page.locator(".bar").count()
                solved.append({"seconds": milliseconds / 1e3, "cpu": spent, "segments": segments, "solved": is_solved})
    page.close()
    return solved


def take_pictures(browser: Browser, url: str) -> None:
    """Pictures for the README: a desktop in the middle of a replay, and a phone."""
    page = browser.new_page(viewport={"width": 1080, "height": 760})
    page.goto(f"{url}#s={HARD[0]}")
    page.click("#solve")
    page.wait_for_selector("#verdict.good", timeout=60_000)
    page.locator("#step").fill("4")
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, color_scheme="dark"
    ).new_page()
    phone.goto(url)
    phone.tap("[data-side='30']")
    phone.tap("#solve")
    phone.wait_for_selector("#verdict.good", timeout=120_000)
    for name, opened in (("static_page", page), ("static_page_phone", phone)):
        with whole_file(ROOT / "docs" / "images" / f"{name}.png") as partial:
            partial.write_bytes(opened.screenshot())


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder made by spaces_app/build_static.py")
    parser.add_argument("--pictures", action="store_true", help="also take the pictures in docs/images")
    args = parser.parse_args()
    sizes = {
        path.relative_to(args.folder).parts: path.stat().st_size for path in args.folder.rglob("*") if path.is_file()
    }
    load = os.getloadavg()[0]
    with sync_playwright() as driver, served(args.folder) as url:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS.split())
        firsts, solved = first_solves(browser, url), hard_solves(browser, url)
        if args.pictures:
            take_pictures(browser, url)
        browser_version = browser.version
        browser.close()
    times = [each["seconds"] for each in solved]
    record = {
        "benchmark": "static_page",
        "variant": "sudoku-hard, int8",
        "device": processor_name(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "chromium": browser_version,
        "load_average": round((load + os.getloadavg()[0]) / 2, 1),
        "first_solve_s": round(statistics.median(clock for clock, _ in firsts), 2),
        "first_solve_cpu_s": round(statistics.median(cpu for _, cpu in firsts), 2),
        "hard_puzzles": len(HARD),
        "rounds": ROUNDS,
        "solved": sum(each["solved"] for each in solved),
        "asked": len(solved),
        "solve_s_median": round(statistics.median(times), 3),
        "solve_s_most": round(max(times), 3),
        "solve_cpu_s_median": round(statistics.median(each["cpu"] for each in solved), 3),
        "segment_s_median": round(statistics.median(each["seconds"] / each["segments"] for each in solved), 3),
        "page_bytes": sum(size for parts, size in sizes.items() if parts[0] not in ("models", "runtime")),
        "runtime_bytes": sum(size for parts, size in sizes.items() if parts[0] == "runtime"),
        "model_bytes": {parts[1]: size for parts, size in sizes.items() if parts[-1].endswith(".onnx")},
    }
    print(json.dumps(record, indent=2))
    print(write_records("static_page", [record]))


if __name__ == "__main__":
    main()
