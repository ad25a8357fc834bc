"""What the server answers to strangers, and to wrong questions."""

import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.ui.conftest import Serve, Server

from mlplab.runs.run import Run

LOADED = """
import sys
import mlplab.cli, mlplab.ui.run
print([name for name in ("jax", "keras", "scipy", "sklearn", "matplotlib") if name in sys.modules])
"""


@pytest.fixture(scope="module")
def server(serve: Serve, finished: Run) -> Server:
    found = serve()
    shutil.copytree(finished.folder, found.runs_dir / "short")
    return found


def png(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def test_the_server_loads_neither_keras_nor_jax() -> None:
    command = [sys.executable, "-c", LOADED]
    assert subprocess.check_output(command, text=True).strip() == "[]"


def test_the_link_lets_a_browser_in_and_its_cookie_after_that(server: Server) -> None:
    status, _, headers = server.ask("GET", f"/?token={server.token}", known=False)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    status, page, headers = server.ask("GET", "/")
    assert status == 200
    assert b"<script type=" in page
    assert "script-src 'self';" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/?token=wrong", "/api/runs", "/static/app.js"])
def test_who_has_no_token_gets_nothing(server: Server, path: str) -> None:
    status, body, _ = server.ask("GET", path, known=False)
    assert status == 401
    assert b"mlplab ui" in body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "example.org"}, 421),
        ({"Host": "localhost:1"}, 421),
        ({"Host": "localhost@example.org"}, 421),
        ({"Content-Length": "99999999"}, 413),
        ({"Content-Length": "-1"}, 400),
    ],
)
def test_other_sites_and_names_are_refused(
    server: Server, headers: dict[str, str], status: int
) -> None:
    assert server.ask("GET", "/api/runs", headers=headers)[0] == status


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/..",
        "/api/runs/%2e%2e",
        "/api/runs/short%2f..",
        "/api/runs/short/files/../../short/record.json",
        "/api/runs/short/files/%2e%2e/%2e%2e/secret.json",
        "/api/runs/short/files//etc/passwd",
        "/api/runs/short/files/%2fetc%2fpasswd",
        "/api/runs/short/files/a%00b",
        "/api/runs/short/files/model.keras",
        "/static/../../../pyproject.toml",
        "/static/%2e%2e/guard.py",
        "/api/studies/../report.html",
        "/api/studies/%2e%2e/report.html",
    ],
)
def test_paths_lead_nowhere_else(server: Server, path: str) -> None:
    (server.runs_dir.parent / "secret.json").write_text("secret")
    status, body, _ = server.ask("GET", path)
    assert status in (400, 404)
    assert b"secret" not in body
    assert b"root:" not in body


def test_what_a_run_is_called_like_html_is_json(server: Server) -> None:
    status, body, headers = server.ask("GET", "/api/runs/%3Cscript%3E")
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert "<script>" in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/draft", {}),
        ("/api/draft", []),
        ("/api/draft", b"{"),
        ("/api/draft", {"recipe": "quickstart", "changes": {"model.hiden": 3}}),
        ("/api/draft", {"recipe": "../x", "changes": {}}),
        ("/api/train", {"recipe": "quickstart", "changes": {}, "seeds": list(range(1000))}),
        ("/api/train", {"recipe": "quickstart", "changes": {}, "name": "../x"}),
        ("/api/train", {"recipe": "quickstart", "changes": {"model.name": "os:system"}}),
        ("/api/train", {"recipe": "quickstart", "changes": {"data.path": "/etc"}}),
        ("/api/runs/short/stop", {}),
        ("/api/studies", {"study": "../x"}),
        ("/api/images/../x", b""),
        ("/api/images/pets/x.png", b"x"),
        ("/api/sets", {"name": "../x"}),
        ("/api/data", {"name": "folder", "path": "/etc", "path ": "/tmp"}),
        ("/api/draft", {"recipe": "mlp-taught", "changes": {"teacher.runs": ["/etc"]}}),
        ("/api/images/%3Cb%3E/x.png", b"x"),
        ("/api/images/pets", b"no zip"),
        ("/api/train", {"recipe": "quickstart", "changes": {}, "seeds": [-1]}),
        ("/api/draft", {"recipe": "\ud800", "changes": {}}),
        ("/api/runs/short/continue", {}),
    ],
)
def test_wrong_questions_are_answered_in_a_line(server: Server, path: str, body: Any) -> None:
    status, answer, _ = server.ask("POST", path, body)
    assert status in (400, 404, 405)
    if status == 400:
        assert json.loads(answer)["error"]
    assert server.json("/api/jobs") == {"jobs": []}
    assert not (server.runs_dir / "images").exists()


def test_pictures_that_are_none_or_too_large_are_refused(server: Server) -> None:
    random = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    good = io.BytesIO()
    Image.fromarray(random).save(good, "PNG")
    answer = server.json("/api/runs/short/predict", good.getvalue())
    assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert answer["saliency"]
    said = server.json("/api/runs/short/predict", b"no picture")["error"]
    assert said.startswith("the picture cannot be read")
    assert "pixels" in server.json("/api/runs/short/predict", png(50_000))["error"]
    assert server.json("/api/runs/short/predict", good.getvalue()) == answer


def test_a_thousand_requests_at_once_leave_it_alive(server: Server) -> None:
    text = f"GET /api/runs HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n".encode()
    links = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    for link in links:
        link.sendall(text)
    for link in links:
        link.close()
    assert [run["name"] for run in server.json("/api/runs")["runs"]] == ["short"]


def test_a_stream_tells_of_a_run_and_may_be_left(server: Server) -> None:
    def leave() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as link:
            head = f"Host: localhost:{server.port}\r\nCookie: mlplab-{server.port}={server.token}"
            link.sendall(f"GET /api/runs/short/events HTTP/1.1\r\n{head}\r\n\r\n".encode())
            link.settimeout(10)
            text = b""
            while b"event: status" not in text:
                text += link.recv(2**16)
            found.append(text)

    found: list[bytes] = []
    threads = [threading.Thread(target=leave) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [text.count(b"event: row") for text in found] == [3] * 20
    assert b"id: 3\nevent: row\n" in found[0]


def test_a_run_is_deleted_with_its_folder(server: Server, finished: Run) -> None:
    shutil.copytree(finished.folder, server.runs_dir / "other")
    assert {run["name"] for run in server.json("/api/runs")["runs"]} == {"short", "other"}
    assert server.json("/api/runs/other", method="DELETE") == {}
    assert not (server.runs_dir / "other").exists()
    assert [run["name"] for run in server.json("/api/runs")["runs"]] == ["short"]
    assert server.json("/api/runs/other", method="DELETE") == {}  # another page was quicker


@pytest.mark.parametrize("text", ["{torn", "", '{"recipe": "quickstart", "started": 5}'])
def test_a_damaged_record_is_listed_and_can_be_deleted(server: Server, text: str) -> None:
    (server.runs_dir / "torn").mkdir()
    (server.runs_dir / "torn" / "record.json").write_text(text)
    found = {run["name"]: run["status"] for run in server.json("/api/runs")["runs"]}
    assert found == {"short": "finished", "torn": "damaged"}
    assert "damaged" in server.json("/api/runs/torn")["error"]
    assert server.json("/api/runs/torn", method="DELETE") == {}
    assert not (server.runs_dir / "torn").exists()


def test_mistakes_are_those_of_the_predictions(server: Server, finished: Run) -> None:
    found = server.json("/api/runs/short/mistakes?split=test")
    predictions = finished.predictions("test")
    answers = predictions["probabilities"].argmax(axis=1)
    matrix = np.array(found["matrix"])
    assert matrix.sum() == len(answers)
    assert np.trace(matrix) == (answers == predictions["labels"]).sum()
    label, answer = np.argwhere((matrix > 0) & ~np.eye(10, dtype=bool))[0]
    one = server.json(f"/api/runs/short/mistakes?split=test&label={label}&answer={answer}")
    assert len(one["mistakes"]) == matrix[label, answer]
    indices = [row["index"] for row in one["mistakes"]]
    shown = server.json("/api/runs/short/pictures", {"split": "test", "indices": indices})
    assert len(shown["pictures"]) == len(indices)


def test_another_token_is_made_for_each_user_and_kept(serve: Serve, server: Server) -> None:
    again = serve(server.runs_dir)
    assert again.token == server.token
    assert again.port != server.port


def test_a_server_ends_at_ctrl_c_while_a_page_watches(serve: Serve, server: Server) -> None:
    other = serve(server.runs_dir)
    link = socket.create_connection(("127.0.0.1", other.port))
    head = f"Host: localhost:{other.port}\r\nCookie: mlplab-{other.port}={other.token}"
    link.sendall(f"GET /api/runs/short/events HTTP/1.1\r\n{head}\r\n\r\n".encode())
    link.recv(100)
    time.sleep(0.2)
    other.process.send_signal(2)
    assert other.process.wait(10) == 130
    link.close()


def test_paths_are_no_sides_of_a_comparison(server: Server) -> None:
    path = f"/api/compare?side=short&side={server.runs_dir / 'short'}"
    assert "no run, group or configuration" in server.json(path)["error"]


def test_files_of_a_set_stay_in_its_folder(server: Server) -> None:
    assert server.json("/api/sets", {"name": "pets"}) == {"set": "pets"}
    for path in ("..%2f..%2fx.png", "%2fx.png"):
        assert "leads out" in server.json(f"/api/images/pets/{path}", b"x")["error"]
    assert "no images" in server.json("/api/sets", {"set": "pets"}, "PUT")["error"]
    shutil.rmtree(server.runs_dir / "images")


def test_bodies_of_no_stated_length_are_bounded(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as link:
        head = f"Host: localhost:{server.port}\r\nCookie: mlplab-{server.port}={server.token}"
        head += "\r\nTransfer-Encoding: chunked"
        link.sendall(f"POST /api/draft HTTP/1.1\r\n{head}\r\n\r\n".encode())
        for _ in range(3):
            link.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        link.settimeout(10)
        assert b"413" in link.recv(2**16)


def test_reports_are_shown_in_a_box_of_their_own(server: Server) -> None:
    status, _, headers = server.ask("GET", "/api/runs/short/files/report.html")
    assert status == 200
    assert "sandbox" in headers["content-security-policy"]


def test_images_are_taken_file_by_file_and_found(server: Server, tmp_path: Path) -> None:
    assert server.json("/api/sets", {"name": "shades"}) == {"set": "shades"}
    for kind, shade in (("dark", 30), ("light", 220)):
        for number in range(12):
            file = io.BytesIO()
            pixels = np.full((8, 8), shade + number, np.uint8)
            Image.fromarray(pixels).save(file, "PNG")
            path = f"/api/images/shades/{kind}/{number}.png"
            assert server.json(path, file.getvalue()) == {"taken": True}
    assert server.json("/api/images/shades/notes.md", b"x") == {"taken": False}
    assert server.json("/api/sets", {"set": "shades"}, "PUT") == {"set": "shades"}
    (own,) = [one for one in server.json("/api/data")["sets"] if one["title"] == "shades"]
    facts = server.json("/api/data", own["data"])
    assert facts["classes"] == ["dark", "light"]
    changes = {f"data.{key}": value for key, value in own["data"].items()}
    network = server.json("/api/network", {"recipe": "quickstart", "changes": changes})
    assert network["layers"][-1]["shape"] == [2]
    assert "export" in network["no_program"]
    assert server.json("/api/sets/shades", method="DELETE") == {}
    shutil.rmtree(server.runs_dir / "images")


def test_a_training_of_a_terminal_is_stopped_from_a_page(server: Server) -> None:
    words = ["train", "quickstart", "training.epochs=100000", "callbacks.early_stopping=none"]
    words += ["--name", "long", "--runs-dir", str(server.runs_dir), "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "mlplab", *words]) as process:
        while not (server.runs_dir / "long" / "progress.json").exists():
            assert process.poll() is None
            time.sleep(0.1)
        assert server.json("/api/runs/long/stop", {}) == {}
        assert process.wait(60) == 130
    assert server.json("/api/runs/long")["record"]["status"] == "interrupted"
    assert not (server.runs_dir / "long" / "progress.json").exists()
    assert "is not being trained" in server.json("/api/runs/long/stop", {})["error"]
    server.json("/api/runs/long", method="DELETE")
