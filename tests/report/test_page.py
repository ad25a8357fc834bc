import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlplab.errors import RunError
from mlplab.report.page import run_page, write_run_page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
VOID = {"meta", "link", "img", "br", "hr"}


@pytest.fixture(scope="module")
def folder(make_run: Callable[..., Path]) -> Path:
    return make_run()


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return run_page(folder)


def visible(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


def test_the_page_says_what_the_run_reached(page: str) -> None:
    text = visible(page)
    for said in (
        "seed-20260101-120000-s0",
        "6,305,802",
        "test set evaluated 37 times, for 12 configurations",
        "with 95 % confidence",
        "Chosen on the test split.",
        "mlplab train published --data-dir data --seed 0",
        "hidden = [1024, 1024]",
        "AMD EPYC 7763",
        "0a1b2c3d",
        "3 min 25 s",
        "5b5b5b5b",
        "share of units that are never active",
    ):
        assert said in text, said


def test_findings_are_shown_with_their_evidence(page: str) -> None:
    text = visible(page)
    for heading in ("Overfitting", "Early stopping", "Weakest class"):
        assert heading in text
    assert "epoch from which the training loss is the lower one" in text
    assert "<code>model.dropout=0.4</code>" in page


def test_pictures_are_inside_the_page_each_with_words_for_who_cannot_see_it(
    page: str, folder: Path
) -> None:
    images = re.findall(r'<img src="data:image/png;base64,([^"]+)"[^>]* alt="([^"]+)"', page)
    assert len(images) == 4
    assert base64.b64decode(images[0][0]) == (folder / "figures" / "curves.png").read_bytes()
    assert all(len(alt) > 20 for _, alt in images)


def test_every_element_is_closed_and_every_link_leads_somewhere(page: str) -> None:
    open_elements: list[str] = []
    ids: set[str | None] = set()
    targets: set[str] = set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            attributes = dict(attrs)
            ids.add(attributes.get("id"))
            if tag == "a":
                targets.add((attributes["href"] or "").removeprefix("#"))
            if tag not in VOID:
                open_elements.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_elements.pop() == tag

    Reader().feed(page)
    assert open_elements == []
    assert targets <= ids


def test_a_run_that_was_killed_at_its_start_has_a_page_too(tmp_path: Path) -> None:
    facts = {"schema": 1, "name": "x", "recipe": "seed", "config_id": "1", "seed": 0}
    (tmp_path / "record.json").write_text(json.dumps(facts))
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": NaN}\n{"epoch": 2, "lo')
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curves.png").write_bytes(b"")
    text = visible(run_page(tmp_path))
    assert "The process died without recording why" in text
    assert "1 epoch " in text
    assert "accuracy" not in text


def test_a_closed_test_split_is_said_to_be_closed(folder: Path, tmp_path: Path) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["metrics"] = {"validation": record["metrics"]["test"]}
    record["selected_on"] = "validation"
    (tmp_path / "record.json").write_text(json.dumps(record))
    text = visible(run_page(tmp_path))
    assert "Not evaluated on the test set: " in text
    assert "test split. The best epoch" not in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"schema": 1}'])
def test_a_folder_without_a_sound_record_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    with pytest.raises(RunError, match="record"):
        write_run_page(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_reporting_loads_neither_keras_nor_jax() -> None:
    code = (
        "import mlplab.report.page, mlplab.report.findings, sys;"
        "sys.exit(bool({'keras', 'jax', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_without_errors_requests_or_foreign_script(
    make_run: Callable[..., Path], scheme: Any
) -> None:
    from playwright.sync_api import sync_playwright

    hostile = make_run([HOSTILE] * 10, recipe=f"# {HOSTILE}</pre>{{{{ 7 * 7 }}}}")
    record = json.loads((hostile / "record.json").read_text())
    record |= {"reason": HOSTILE, "command": HOSTILE, "data": HOSTILE, "model_summary": HOSTILE}
    record |= {"skipped": [f"{HOSTILE}: damaged"], "group": HOSTILE, "files": {HOSTILE: HOSTILE}}
    record["device"]["name"] = record["versions"]["keras"] = HOSTILE
    finding = dict.fromkeys(("kind", "heading", "text"), HOSTILE)
    record["findings"].append({**finding, "evidence": {HOSTILE: HOSTILE}})
    (hostile / "record.json").write_text(json.dumps(record))
    path = write_run_page(hostile)
    complaints: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        view = browser.new_page(
            viewport={"width": 390, "height": 800}, color_scheme=scheme, offline=True
        )
        view.on("console", lambda message: complaints.append(message.text))
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.on("request", lambda request: requests.append(request.url))
        view.goto(path.as_uri())
        view.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
        assert view.title() == "seed-20260101-120000-s0 · mlplab"
        assert view.locator("script").count() == 0
        assert HOSTILE in view.locator("pre[aria-label=Recipe]").inner_text()
        assert view.locator("img").evaluate_all("all => all.every(one => one.naturalWidth > 0)")
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert view.evaluate(overflow) <= 0
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]


def test_findings_of_a_record_without_headings_are_still_shown(
    folder: Path, tmp_path: Path
) -> None:
    record = json.loads((folder / "record.json").read_text())
    record["findings"] = [{"kind": "overfitting", "text": "The network overfits.", "evidence": {}}]
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert "<h3>Overfitting</h3>" in run_page(tmp_path)
