"""The app under load: how fast it starts and solves, alone and with 50 clients at a time.

    make demo && python -m benchmarks.app_load

The server is a separate process, started as a user starts it. The clients are threads of this process, each with its
own connection and session, like a browser; each sends its next puzzle when it has the answer to the last one. They
speak plain HTTP, because gradio_client needs as much of the two cores as the server. Every round starts new sessions:
`--rounds 10 --puzzles 20` makes 10,000 requests in 500 sessions.
"""

import argparse
import http.client
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.records import ROOT, processor_name, write_records
from hrm_hf.app.context import AppSettings
from hrm_hf.puzzles.sudoku.examples import EXAMPLES


# time for the app to compile models in the background
_WARM_UP_SECONDS = 20


@contextmanager
def served(models: str) -> Iterator[tuple[str, int, float]]:
    """The app as a process: its address, its process id, and the seconds until it answered."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.perf_counter()
    command = ["-m", "hrm_hf.cli", "app", "--models", models, "--port", str(port)]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}/"
        while not answers(url):
            if process.poll() is not None:
                raise RuntimeError(f"The app ended with exit code {process.returncode} before it answered.")
            time.sleep(0.05)
        yield url, process.pid, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    """Whether a page can be loaded."""
    try:
        with urllib.request.urlopen(url, timeout=30):
            return True
    except urllib.error.URLError:
        return False


def memory_mb(process_id: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"The process {process_id} no longer exists.")


class Visitor:
    """A session.

    Args:
        url: of the app.
    """

    def __init__(self, url: str):
        address = urllib.parse.urlparse(url)
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=120)
        self._session = uuid.uuid4().hex

    def solve(self, model: str, puzzle: str) -> tuple[float, bool]:
        """Seconds until an answer, and whether it is right.

        Raises:
            RuntimeError: if there is an error instead of an answer.
        """
        start = time.perf_counter()
        asked = json.dumps({"data": [model, puzzle, 16, 1, True], "session_hash": self._session})
        headers = {"Content-Type": "application/json"}
        path = "/gradio_api/call/solve_puzzle"
        event = json.loads(self._answer("POST", path, asked, headers))["event_id"]
        *_, (kind, data) = re.findall(r"^event: (.*)\ndata: (.*)$", self._answer("GET", f"{path}/{event}"), re.M)
        # the server closes idle connections after some seconds; the next request connects again
        self._connection.close()
        if kind != "complete":
            raise RuntimeError(f"{kind}: {data}")
        return time.perf_counter() - start, json.loads(data)[0]["solved"]

    def _answer(self, *request) -> str:
        self._connection.request(*request)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {text}")
        return text


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=str(ROOT / "runs" / "demo"), help="folder of models")
    parser.add_argument("--model", default="model", help="name of a 6x6 Sudoku model in the folder")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--puzzles", type=int, default=4, help="puzzles per client, one after another")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; memory is measured after each")
    args = parser.parse_args()
    puzzles = [puzzle for kind in EXAMPLES[6].values() for puzzle in kind]

    with served(args.models) as (url, process_id, start_seconds):
        first = Visitor(url)
        first_solve, _ = first.solve(args.model, puzzles[0])
        time.sleep(_WARM_UP_SECONDS)
        alone = [first.solve(args.model, puzzles[number % len(puzzles)])[0] for number in range(20)]
        memory = [memory_mb(process_id)]
        latencies, right, unanswered = [], 0, 0
        started = time.perf_counter()
        with ThreadPoolExecutor(args.clients) as pool:

            def work(number: int) -> list[tuple[float, bool] | Exception]:
                visitor, done = Visitor(url), []
                for turn in range(args.puzzles):
                    try:
                        done.append(visitor.solve(args.model, puzzles[(number + turn) % len(puzzles)]))
                    # count whatever a client gets instead of an answer
                    except Exception as error:
                        done.append(error)
                return done

            for _ in range(args.rounds):
                for done in pool.map(work, range(args.clients)):
                    for answer in done:
                        if isinstance(answer, Exception):
                            unanswered += 1
                            print(f"unanswered: {answer}", file=sys.stderr)
                        else:
                            latencies.append(answer[0])
                            right += answer[1]
                memory.append(memory_mb(process_id))
        seconds = time.perf_counter() - started
        still_there = answers(url)

    record = {
        "benchmark": "app_load",
        "variant": "sudoku_6x6",
        "device": processor_name(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "gradio": version("gradio"),
        "start_s": round(start_seconds, 2),
        "first_solve_s": round(first_solve, 3),
        "solve_s_median": round(float(np.median(alone)), 3),
        "clients": args.clients,
        "max_concurrency": AppSettings.max_concurrency,
        "requests": args.clients * args.puzzles * args.rounds,
        "sessions": args.clients * args.rounds,
        "unanswered": unanswered,
        "solved": right,
        "requests_per_s": round(len(latencies) / seconds, 1),
        **{f"latency_s_p{share}": round(float(np.percentile(latencies, share)), 2) for share in (50, 90, 99, 100)},
        "memory_mb": [round(each) for each in memory],
        "alive_after": still_there,
    }
    print(write_records("app_load", [record]))
    print(record)


if __name__ == "__main__":
    main()
