"""A local stand-in for the Hub with its HTTP interface: repositories, commits, branches, downloads."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

from huggingface_hub import constants
from huggingface_hub.utils import close_session


TOKEN = "hf_of_me"  # may write to me/...


class Hub(ThreadingHTTPServer):
    """Repositories in memory: `{"owner/name": {"private": bool, "files": {path: bytes}, "commits": [message]}}`.

    Args:
        kind: `"models"` or `"datasets"`; it has only this kind.

    Attributes:
        repos: `files` are those of main.
        revisions: of each repository, the files of every commit and branch.
        large: contents of large files by SHA-256.
        complaints: its messages, with status 400, about a "commit" or a "large" file.
        answers_all_with: status for every request, `None` for none.
        asked: method and path of every request.
    """

    def __init__(self, kind: str = "datasets"):
        super().__init__(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.kind = kind
        self.repos: dict[str, dict] = {}
        self.revisions: dict[str, dict[str, dict[str, bytes]]] = {}
        self.large: dict[str, bytes] = {}
        self.complaints: dict[str, str] = {}
        self.answers_all_with: int | None = None
        self.asked: list[tuple[str, str]] = []

    def files(self, repo_name: str, revision: str) -> dict[str, bytes] | None:
        """Files of a revision, `None` if the repository or revision does not exist."""
        if revision == "main" and repo_name in self.repos:
            return self.repos[repo_name]["files"]
        return self.revisions.get(repo_name, {}).get(revision)

    def commit_of(self, repo_name: str, revision: str) -> str:
        """The commit of a revision."""
        files = self.files(repo_name, revision)
        commits = [
            name for name, kept in self.revisions.get(repo_name, {}).items() if kept == files and len(name) == 40
        ]
        return commits[-1] if commits else "0" * 40


class Requests(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status: int, content=None, headers: dict[str, str] | None = None):
        body = content if isinstance(content, bytes) else json.dumps({} if content is None else content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def is_down(self) -> bool:
        self.server.asked.append((self.command, self.path))
        if self.server.answers_all_with is None:
            return False
        self.answer(self.server.answers_all_with, {"error": "No answer today"})
        return True

    def is_refused(self, owner: str) -> bool:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid username or password."})
        elif owner != "me":
            kind = self.server.kind.removesuffix("s")
            self.answer(403, {"error": f"You don't have the rights to create a {kind} under the namespace {owner}"})
        else:
            return False
        return True

    # --- reading

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        if self.is_down():
            return
        parts = unquote(self.path.partition("?")[0]).strip("/").split("/")
        prefix = [] if self.server.kind == "models" else [self.server.kind]
        if parts[:1] == ["api"]:
            self.read_api(parts[1:])
        elif parts[: len(prefix)] == prefix and parts[len(prefix) + 2 : len(prefix) + 3] == ["resolve"]:
            owner, name, _, revision, *path = parts[len(prefix) :]
            self.resolve(f"{owner}/{name}", revision, "/".join(path))
        else:
            self.answer(404, {"error": "Not found"})

    def read_api(self, parts: list[str]):
        kind, owner, name, *rest = [*parts, "", "", ""][: max(3, len(parts))]
        repo_name = f"{owner}/{name}"
        repo = self.server.repos.get(repo_name)
        if kind != self.server.kind or repo is None:
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return
        revision = rest[1] if rest[:1] in (["tree"], ["revision"]) and len(rest) > 1 else "main"
        files = self.server.files(repo_name, revision)
        if files is None:
            self.answer(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
        elif rest[:1] == ["tree"]:
            under = "/".join(rest[2:])
            listed = [
                {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for path, data in files.items()
                if path.startswith(under)
            ]
            if listed or not under:
                self.answer(200, listed)
            else:
                self.answer(404, {"error": f"{under} does not exist"}, {"X-Error-Code": "EntryNotFound"})
        else:
            sha = self.server.commit_of(repo_name, revision)
            siblings = [{"rfilename": path} for path in files]
            content = {"_id": "0", "id": repo_name, "private": repo["private"], "sha": sha, "siblings": siblings}
            self.answer(200, content)

    def resolve(self, repo_name: str, revision: str, path: str):
        files = self.server.files(repo_name, revision)
        if files is None:
            code = "RevisionNotFound" if repo_name in self.server.repos else "RepoNotFound"
            self.answer(404, {"error": "Not found"}, {"X-Error-Code": code})
            return
        commit = {"X-Repo-Commit": self.server.commit_of(repo_name, revision)}
        if path not in files:
            self.answer(404, {"error": "Entry not found"}, commit | {"X-Error-Code": "EntryNotFound"})
            return
        self.answer(200, files[path], commit | {"ETag": f'"{hashlib.sha1(files[path]).hexdigest()}"'})

    # --- writing

    def do_PUT(self):
        body = self.body()
        if self.is_down():
            return
        if "large" in self.server.complaints:
            self.answer(400, {"error": self.server.complaints["large"]})
            return
        self.server.large[self.path.rpartition("/")[2]] = body
        self.answer(200)

    def do_POST(self):
        body = self.body()
        if self.is_down():
            return
        parts = [unquote(part) for part in self.path.partition("?")[0].strip("/").split("/")]
        if parts == ["api", "validate-yaml"]:
            self.answer(200, {"errors": [], "warnings": []})
        elif parts == ["api", "repos", "create"]:
            self.create(json.loads(body))
        elif parts[-4:] == ["info", "lfs", "objects", "batch"]:
            objects = [
                entry | {"actions": {"upload": {"href": f"{self.server.url}/large/{entry['oid']}"}}}
                for entry in json.loads(body)["objects"]
            ]
            self.answer(200, {"objects": objects, "transfer": "basic"})
        elif not self.is_refused(parts[2]):
            repo_name, action = f"{parts[2]}/{parts[3]}", parts[4]
            if action == "preupload":
                files = [
                    {"path": path, "uploadMode": "lfs" if path.endswith((".parquet", ".safetensors")) else "regular"}
                    for path in (file["path"] for file in json.loads(body)["files"])
                ]
                self.answer(200, {"files": [file | {"shouldIgnore": False} for file in files]})
            elif action == "branch":
                branches = self.server.revisions[repo_name]
                is_new = parts[5] not in branches
                branches.setdefault(parts[5], dict(self.server.repos[repo_name]["files"]))
                self.answer(200 if is_new else 409)
            elif action == "commit":
                self.commit(repo_name, parts[5], [json.loads(line) for line in body.splitlines()])

    def create(self, wanted: dict):
        if self.is_refused(wanted["organization"]):
            return
        name = f"{wanted['organization']}/{wanted['name']}"
        is_private = wanted.get("visibility") == "private" or wanted.get("private") is True
        if f"{wanted.get('type', 'model')}s" != self.server.kind:
            self.answer(400, {"error": f"a {wanted['type']}"})
        elif name in self.server.repos:
            self.answer(409, {"error": "You already created this repo", "url": self.repo_url(name)})
        else:
            self.server.repos[name] = {"private": is_private, "files": {}, "commits": []}
            self.server.revisions[name] = {}
            self.answer(200, {"url": self.repo_url(name), "name": name})

    def commit(self, name: str, branch: str, lines: list[dict]):
        if "commit" in self.server.complaints:
            self.answer(400, {"error": self.server.complaints["commit"]})
            return
        repo, files = self.server.repos[name], self.server.files(name, branch)
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repo["commits"].append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        oid = f"{len(repo['commits']):040x}"
        self.server.revisions.setdefault(name, {})[oid] = dict(files)
        self.answer(200, {"commitUrl": f"{self.repo_url(name)}/commit/{oid}", "commitOid": oid})

    def repo_url(self, name: str) -> str:
        prefix = "" if self.server.kind == "models" else f"{self.server.kind}/"
        return f"{self.server.url}/{prefix}{name}"


def reach(monkeypatch, url: str):
    """Make this process use a URL as the Hub."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template[template.index("/{repo_id}") :])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # which needs its own servers
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    close_session()


@contextmanager
def running_hub(monkeypatch, kind: str) -> Iterator[Hub]:
    """A hub that this process uses instead of the real one."""
    server = Hub(kind)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    reach(monkeypatch, server.url)
    try:
        yield server
    finally:
        close_session()
        server.shutdown()
        thread.join()
        server.server_close()
