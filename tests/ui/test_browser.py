"""The pages in a real browser: from nothing to a verdict without a terminal."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from tests.ui.conftest import CHROMIUM, Serve, Server

import mlplab
from mlplab.experiment import execute
from mlplab.experiment.options import Options

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
    pytest.mark.timeout(300),
]
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"]  # fmt: skip
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
PAGES = (
    "start",
    "runs",
    "watch/a-s0",
    "compare?side=a-s0&side=b-s0",
    "mistakes/a-s0",
    "try/a-s0",
    "study",
    "report/a-s0",
)


class Page:
    """A page of a server, which remembers what browsers complain about.

    Args:
        browser: Playwright's.
        server: whose page it is.
        scheme: ``light`` or ``dark``.
    """

    def __init__(self, browser: Any, server: Server, scheme: str = "light") -> None:
        context = browser.new_context(
            color_scheme=scheme, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )
        self.view = context.new_page()
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.server = server
        self.view.on("console", self._said)
        self.view.on("pageerror", lambda error: self.complaints.append(str(error)))
        context.route(lambda url: not url.startswith(server.link.partition("?")[0]), self._refuse)
        self.view.goto(server.link)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _refuse(self, route: Any) -> None:
        self.elsewhere.append(route.request.url)
        route.abort()

    def open(self, place: str) -> Any:
        """Go to a page, and wait until it has what it asked for."""
        self.view.evaluate("place => { location.hash = `#/${place}`; }", place)
        self.view.wait_for_load_state("networkidle")
        return self.view

    def slide(self, name: str, to: float) -> None:
        """Move a slider."""
        self.view.get_by_role("slider", name=name).fill(str(to))

    def violations(self) -> list[str]:
        """Return what axe-core finds against WCAG 2 AA."""
        self.view.evaluate(Path(AXE_FILE_PATH).read_text("utf-8"))
        run = "tags => axe.run(document, {runOnly: tags, iframes: false})"
        found = self.view.evaluate(run, WCAG)["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield found
        found.close()


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something holds, and return it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def server(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server with runs that were trained from Python: three seeds of two configurations."""
    folder = tmp_path_factory.mktemp("runs")
    for group, hidden in (("a", [4]), ("b", [32])):
        for seed in range(3):
            tables: dict[str, Any] = {"training": {"epochs": 3}, "seed": seed}
            options = Options(
                runs_dir=folder, name=f"{group}-s{seed}", group=group, layers=seed == 0,
                keep="all" if seed == 0 else "results",
            )  # fmt: skip
            execute.run(mlplab.recipe("quickstart", model={"hidden": hidden}, **tables), options)
    return serve(folder)


def test_a_network_is_trained_stopped_continued_and_asked(browser: Any, serve: Serve) -> None:
    server = serve()
    page = Page(browser, server)
    train(page, "first", epochs=200, rate=-4, width=5)
    folder = server.runs_dir / "first-s0"
    until(lambda: (folder / "metrics.jsonl").exists())
    page.view.get_by_role("button", name="Stop").click()
    page.view.get_by_role("button", name="Continue").click()
    until(lambda: mlplab.load_run("first-s0", server.runs_dir).record.status == "finished", 120)
    page.view.get_by_role("link", name="Report").wait_for()
    run = mlplab.load_run("first-s0", server.runs_dir)
    assert len(run.history) == 200
    assert run.record.resumed == 1
    assert run.recipe.optimizer.params["learning_rate"] == 1e-4
    page.view.get_by_role("button", name="Train it with changes").click()
    page.view.get_by_text("training.epochs=200").wait_for()
    look_at_mistakes(page, "first-s0")
    assert draw_a_line(page, "first-s0") in run.record.class_names
    assert page.complaints == page.elsewhere == []


def test_three_seeds_of_two_are_compared(browser: Any, server: Server) -> None:
    page = Page(browser, server)
    assert "b is better by" in compare(page, "a", "b")
    assert page.complaints == page.elsewhere == []


@pytest.mark.torture
def test_from_nothing_to_a_verdict_without_a_terminal(browser: Any, serve: Serve) -> None:
    server = serve()
    page = Page(browser, server)
    train(page, "narrow", epochs=3, width=3, seeds=3)
    train(page, "wide", epochs=3, width=6, seeds=3)
    until(lambda: all(job["state"] == "ended" for job in server.json("/api/jobs")["jobs"]), 200)
    assert "wide is better by" in compare(page, "narrow", "wide")
    look_at_mistakes(page, "narrow-s0")
    draw_a_line(page, "wide-s0")
    assert page.complaints == page.elsewhere == []


def train(
    page: Page, name: str, *, epochs: int, width: int, rate: float = -3, seeds: int = 1
) -> None:
    """Choose digits, move sliders, and train."""
    view = page.open("start")
    view.get_by_role("button", name="digits", exact=True).click()
    page.slide("Epochs, at most", epochs)
    page.slide("Learning rate", rate)
    page.slide("Units in each", width)
    view.get_by_label("Early stopping").uncheck()
    view.get_by_label("Name").fill(name)
    view.get_by_label("Seeds").select_option(str(seeds))
    until(lambda: f"training.epochs={epochs}" in view.locator("pre.command").inner_text())
    view.get_by_role("button", name="Train", exact=True).click()
    view.wait_for_url(f"**/#/watch/{name}-s0")


def compare(page: Page, *names: str) -> str:
    """Choose three seeds of some runs, compare them, and return the verdict."""
    view = page.open("runs")
    for name in names:
        for seed in range(3):
            view.get_by_label(f"choose {name}-s{seed}").check()
    view.get_by_role("link", name="Compare").click()
    view.locator(".verdict").first.wait_for()
    assert "3 pairs" in view.locator("main").inner_text()
    return str(view.locator(".verdict").first.inner_text()).lower()


def look_at_mistakes(page: Page, name: str) -> None:
    """Open a cell of the confusion matrix, a picture of it, and what the network saw."""
    view = page.open(f"mistakes/{name}")
    view.locator(".matrix td button:not(.right):not(:disabled)").first.click()
    view.locator(".pictures button").first.click()
    view.get_by_alt_text("what the network was given").wait_for()
    view.get_by_alt_text("pixels that the answer depends on").wait_for()


def draw_a_line(page: Page, name: str) -> str:
    """Draw something, and return what the network takes it for."""
    view = page.open(f"try/{name}")
    box = view.locator("canvas.draw").bounding_box()
    view.mouse.move(box["x"] + 140, box["y"] + 30)
    view.mouse.down()
    view.mouse.move(box["x"] + 140, box["y"] + 250, steps=8)
    view.mouse.up()
    view.locator(".bars li").first.wait_for()
    return str(view.locator("p.big").inner_text())


def test_a_killed_server_and_a_page_that_is_left_cost_no_row(browser: Any, serve: Serve) -> None:
    server = serve()
    page = Page(browser, server)
    changes = {
        "training.epochs": 400,
        "callbacks.early_stopping": None,
        "model.hidden": [64],
    }
    server.json("/api/train", {"recipe": "quickstart", "changes": changes, "name": "kept"})
    folder = server.runs_dir / "kept-s0"
    page.open("watch/kept-s0")
    until(lambda: (folder / "metrics.jsonl").exists())
    page.view.reload()
    server.kill()
    after = serve(server.runs_dir, "--port", str(server.port))
    page.view.reload()
    until(lambda: mlplab.load_run("kept-s0", after.runs_dir).record.status == "finished", 120)
    page.view.get_by_role("link", name="Report").wait_for()
    drawn = page.view.locator("[aria-label^='Loss; last']").get_attribute("aria-label")
    run = mlplab.load_run("kept-s0", after.runs_dir)
    assert [row["epoch"] for row in run.history] == list(range(1, 401))
    assert run.record.resumed == 0
    assert f"train {run.history[-1]['loss']:.3g}"[:11] in drawn
    changed: dict[str, Any] = {
        "training": {"epochs": 400},
        "model": {"hidden": [64]},
        "callbacks": {"early_stopping": None},
    }
    alone = mlplab.train("quickstart", runs_dir=after.runs_dir, progress=None, **changed)
    exact = ("loss", "accuracy", "val_loss", "val_accuracy")
    assert [[row[key] for key in exact] for row in alone.history] == [
        [row[key] for key in exact] for row in run.history
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible_and_asks_nobody_else(
    browser: Any, server: Server, scheme: str
) -> None:
    page = Page(browser, server, scheme)
    for place in PAGES:
        view = page.open(place)
        view.locator("main h1, main h2").first.wait_for()
        assert page.violations() == [], place
        for width in (400, 1600):
            view.set_viewport_size({"width": width, "height": 900})
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert view.evaluate(wide) <= 0, (place, width)
    assert page.complaints == page.elsewhere == []


HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def test_names_that_are_html_are_text(browser: Any, server: Server) -> None:
    path = server.runs_dir / "a-s0" / "record.json"
    before = path.read_text("utf-8")
    tables = json.loads(before)
    tables["class_names"][0] = tables["group"] = tables["reason"] = HOSTILE
    path.write_text(json.dumps(tables), "utf-8")
    try:
        page = Page(browser, server)
        for place in ("runs", "watch/a-s0", "mistakes/a-s0"):
            page.open(place)
        page.view.get_by_text("<img src=x").first.wait_for()
        assert "owned" not in page.view.title()
        assert page.complaints == []
    finally:
        path.write_text(before, "utf-8")
