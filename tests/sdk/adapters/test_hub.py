"""Adapter versions through the Hugging Face Hub: huggingface_hub's own client against a server of the same wire form."""

import base64
import hashlib
import json
import os
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from burnish.adapters import AdapterStore
from burnish.records import AdapterManifest

pytest.importorskip("huggingface_hub")


class Hub:
    """The repositories of the server, and what it was asked."""

    def __init__(self):
        self.repositories: dict[str, dict] = {}
        self.tokens: set[str | None] = set()
        self.fetched: list[str] = []


class Answers(BaseHTTPRequestHandler):
    """Answers the requests that creating, committing, listing and downloading make."""

    hub: Hub

    def log_message(self, *_):
        pass

    def reply(self, value, status=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hub.tokens.add(self.headers.get("Authorization"))
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = (
                f"{asked['organization']}/{asked['name']}"
                if asked.get("organization")
                else asked["name"]
            )
            self.hub.repositories.setdefault(
                name,
                {
                    "private": asked.get("private") or asked.get("visibility") == "private",
                    "files": {},
                },
            )
            self.reply({"url": f"{self.hub.url}/{name}", "id": name})
        elif path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            self.reply(
                {
                    "files": [
                        {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for f in files
                    ]
                }
            )
        elif "/commit/" in path:
            name = path.removeprefix("/api/models/").partition("/commit/")[0]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.hub.repositories[name]["files"][line["value"]["path"]] = content
            self.reply(
                {"commitUrl": f"{self.hub.url}/{name}/commit/{'a' * 40}", "commitOid": "a" * 40}
            )
        else:
            self.reply({"error": path}, 404)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            name, _, rest = path.removeprefix("/api/models/").partition(
                "/re" if "/revision/" in path else "/tree"
            )
            found = self.hub.repositories.get(name)
            if found is None:
                self.reply({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
                return
            listed = [
                {
                    "rfilename": key,
                    "path": key,
                    "type": "file",
                    "size": len(value),
                    "oid": hashlib.sha1(value, usedforsecurity=False).hexdigest(),
                }
                for key, value in found["files"].items()
            ]
            info = {
                "id": name,
                "modelId": name,
                "sha": "a" * 40,
                "private": True,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "siblings": listed,
            }
            self.reply(listed if "/tree/" in path else info, Content_Type="application/json")
            return
        name, _, rest = path[1:].partition("/resolve/")
        _, _, file = rest.partition("/")
        content = self.hub.repositories[name]["files"][file]
        if self.command == "GET":
            self.hub.fetched.append(file)
        etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.reply(content, ETag=f'"{etag}"', X_Repo_Commit="a" * 40)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls


@pytest.fixture
def hub():
    found = Hub()
    handler = type("Bound", (Answers,), {"hub": found})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def version(tmp_path):
    folder = tmp_path / "trained"
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    content = struct.pack("<Q", len(header)) + header + b"\x07"
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "card.md").write_text("# Adapter support\n")
    manifest = AdapterManifest(
        id="", name="support", sha256="", base_model="starter", base_sha256="0" * 64, rank=16,
        alpha=32.0, targets=["q_proj"], created_at="2026-11-20T10:00:00Z",
    )  # fmt: skip
    return AdapterStore(tmp_path / "home").publish(folder, manifest).id


def run(hub, tmp_path, *words):
    environ = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_secret",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    environ.pop("HF_HUB_OFFLINE", None)
    return subprocess.run(
        [sys.executable, "-m", "burnish.cli", *map(str, words)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_version_is_pushed_privately_and_pulled_whole(hub, version, tmp_path):
    pushed = run(
        hub, tmp_path, "adapters", "push", version, "hf://acme/support", "--home", tmp_path / "home"
    )
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip() == f"hf://acme/support@{'a' * 40}"
    repository = hub.repositories["acme/support"]
    assert repository["private"] is True
    assert hub.tokens == {"Bearer hf_secret"}
    assert set(repository["files"]) == {
        "README.md", "SHA256SUMS", "adapter_config.json", "adapter_model.safetensors",
        "burnish.json", "card.md",
    }  # fmt: skip
    readme = repository["files"]["README.md"].decode()
    assert readme.startswith("---\nlibrary_name: peft\n")
    assert readme.endswith("# Adapter support\n")

    repository["files"]["pytorch_model.bin"] = b"\x80\x04."
    pulled = run(
        hub, tmp_path, "adapters", "pull", "hf://acme/support", "--home", tmp_path / "other"
    )
    assert pulled.returncode == 0, pulled.stderr
    assert version in pulled.stdout
    AdapterStore(tmp_path / "other").verify(version)
    assert "pytorch_model.bin" not in hub.fetched  # what would be unpickled is never fetched


@pytest.mark.slow
def test_a_repository_that_does_not_exist_is_one_clear_error(hub, tmp_path):
    pulled = run(hub, tmp_path, "adapters", "pull", "hf://acme/none", "--home", tmp_path / "home")
    assert pulled.returncode == 1
    assert "hf://acme/none" in pulled.stderr
    assert "Traceback" not in pulled.stderr
