"""A figure of plotly as a picture, for the pages that show one."""

import pathlib
import shutil

import plotly.graph_objects as go


def picture(drawn: go.Figure, path: pathlib.Path) -> None:
    """A screenshot of the figure in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 760, "height": 420})
        page.set_content(drawn.to_html(include_plotlyjs=True, config={"staticPlot": True}, full_html=True))
        page.wait_for_selector(".main-svg")
        page.wait_for_timeout(300)
        page.screenshot(path=str(path))
        browser.close()
