"""The report as a reader sees it: opened in a browser, every figure drawn, nothing wrong on the console."""

import json
import pathlib
import shutil

import pytest

from ntkit.study import Options, write_study
from ntkit.study.report import render
from ntkit.study.report.figures import panels
from ntkit.study.report.figures_of_predictions import scores
from ntkit.study.report.figures_of_training import curves
from ntkit.study.scores import describe_score
from ntkit.study.words import number

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
STUDIES = {
    "classes": Options("iris", net_options={"depth": "1"}, train=40, test=30, finite=64, steps=40),
    "numbers": Options("diabetes", net_options={"depth": "1"}, train=60, test=40),
    "images": Options("digits", net_options={"depth": "1"}, train=60, test=40),
}


@pytest.fixture(scope="module", params=STUDIES)
def study(request, tmp_path_factory) -> pathlib.Path:
    place = tmp_path_factory.mktemp("study") / request.param
    write_study(STUDIES[request.param], place)
    return place


@pytest.fixture
def browser(tmp_path):
    if CHROMIUM is None:
        pytest.skip("no Chromium here: `make browser` installs it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=FLAGS, offline=True
        )
        yield context
        context.close()


# What a figure shows: marks of traces (lines, points, bars, cells of a heatmap) and the words of its axes.
LOOK = """
() => [...document.querySelectorAll("[data-figure]")].map(place => ({
  id: place.dataset.figure,
  drawn: place.dataset.drawn === "yes",
  height: place.getBoundingClientRect().height,
  marks: [...place.querySelectorAll(
      ".scatterlayer .js-line, .scatterlayer .point, .barlayer .point path, .heatmaplayer image, .imagelayer image")]
    .filter(mark => { const box = mark.getBoundingClientRect(); return box.width > 0 || box.height > 0; }).length,
  words: place.querySelectorAll(".xtick text, .ytick text, .annotation text").length,
  values: place.data.reduce((sum, trace) => sum + (trace.z ? trace.z.length ** 2 : (trace.x || []).length), 0),
}))
"""


@pytest.mark.every(3)
def test_the_page_in_a_browser(study, browser, tmp_path) -> None:
    said: list[str] = []
    asked: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((study / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('[data-drawn=yes]').length > 0", timeout=60_000)
    page.wait_for_timeout(500)
    figures = page.evaluate(LOOK)
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    assert not said
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    results = json.loads((study / "results.json").read_text())
    assert [f["id"] for f in figures] == list(panels(results))
    for figure in figures:
        assert figure["drawn"], figure
        assert figure["height"] > 100, figure
        assert figure["marks"] > 0, figure
        assert figure["words"] > 0, figure
        assert figure["values"] > 3, figure
    assert (tmp_path / "report.png").stat().st_size > 50_000


@pytest.mark.every(3)
def test_a_missing_figure_would_be_noticed(study, browser, tmp_path) -> None:
    text = (study / "report.html").read_text().replace('"data": [', '"data": [], "gone": [', 1)
    (tmp_path / "broken.html").write_text(text)
    page = browser.new_page()
    page.goto((tmp_path / "broken.html").as_uri())
    page.wait_for_timeout(1500)
    assert min(f["marks"] for f in page.evaluate(LOOK)) == 0


def test_every_figure_says_in_one_sentence_what_to_see(study) -> None:
    results = json.loads((study / "results.json").read_text())
    made = panels(results)
    assert ("finite" in made) == (results["finite"] is not None)
    for panel in made.values():
        assert panel.title.endswith("?")
        assert panel.see.endswith((".", "?"))
        assert ". " not in panel.see
        assert 60 < len(panel.see) < 400


def test_the_page_follows_from_the_results_alone(study) -> None:
    results = json.loads((study / "results.json").read_text())
    assert render(results) == (study / "report.html").read_text()


def test_the_page_is_self_contained_and_safe(study) -> None:
    results = json.loads((study / "results.json").read_text())
    results["data"]["target"] = "<script>alert(1)</script>"
    results["data"]["notes"] = ["</script><b>bold</b>"]
    page = render(results)
    assert "<script>alert(1)" not in page
    assert "<b>bold</b>" not in page
    assert 'src="http' not in page
    assert '<link rel="stylesheet' not in page


def with_scores(*scores: float) -> dict:
    """Results with methods of these test scores, the leading one first, and a standard error of 0.02."""
    kept = [
        {"id": "ntk" if i == 0 else "svm", "kind": "infinite", "name": f"method {i}", "determined": True}
        | {part: {"score": score, "standard_error": 0.02} for part in ("train", "test")}
        for i, score in enumerate(scores)
    ]
    return {
        "score": describe_score("classification", "y"),
        "data": {"task": "classification"},
        "lead": "ntk",
        "methods": kept,
    }


def test_differences_within_one_standard_error_are_none() -> None:
    assert "the best, method 1, 95.0 %" in scores(with_scores(0.92, 0.95)).see
    for others in ((0.93,), (0.92,), (0.5,)):
        assert "no method is better by more than one standard error" in scores(with_scores(0.92, *others)).see


def test_early_stopping_is_told_in_one_measure() -> None:
    found = {f"{part}_{what}": [0.5, 0.3, 0.4] for part in ("train", "test") for what in ("loss", "score")}
    found |= {"time": [1.0, 2.0, 3.0], "best_time": 2.0, "best_loss": 0.3, "last_loss": 0.4}
    found |= {"early_stopping_gain": 0.25, "converged": True, "best_score": 0.9, "last_score": 0.8}
    results = {"curves": found, "score": describe_score("classification", "y")}
    assert curves(results).see.endswith("leaves 0.3 instead of 0.4 at convergence, 25.0 % less.")
    found |= {"best_score": 0.167, "last_score": 0.2, "converged": False}
    assert (
        "0.4 at the last time shown, 25.0 % less (while the accuracy goes the other way"
        in curves(results).see
    )
    found["early_stopping_gain"] = 0.0
    assert "lower that loss by less than 1 %" in curves(results).see


def test_numbers_in_sentences() -> None:
    assert [number(v) for v in (0.0, 1.0, 0.12345, 123456.0, 2.5e-9, -3e7)] == [
        "0", "1", "0.123", "123,456", "2.5·10⁻⁹", "-3.0·10⁷",
    ]  # fmt: skip
