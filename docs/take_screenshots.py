"""Takes the pictures of the documentation from a running Dagster UI, in headless Chromium.

Start the UI on the demo's data first:

    .venv/bin/transak-drift demo
    TRANSAK_DRIFT_HOME=.transak_drift/demo .venv/bin/transak-drift dev

then run this with `playwright` (from PyPI) and Debian's `chromium` installed:

    python docs/take_screenshots.py http://127.0.0.1:3000 docs/pictures 2026-11-22

where the last word is the day that drifted in the demo.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
DRIFT_DAY = sys.argv[3]
# The browser shall ask nobody but the UI.
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


def lineage(page: Page, base: str) -> None:
    """Show the assets from the transactions to the next baseline."""
    page.goto(f"{base}/assets/baseline_dataset?view=lineage&lineageScope=upstream&lineageDepth=8")
    page.wait_for_timeout(6_000)


def report(page: Page, base: str) -> None:
    """Show the report of the day that drifted."""
    page.goto(f"{base}/assets/drift_report?view=events")
    page.get_by_text(DRIFT_DAY).first.click()
    page.wait_for_timeout(3_000)


def picture(page: Page, base: str) -> None:
    """Show the picture inside of the report."""
    report(page, base)
    page.get_by_text("[Show Markdown]").first.click()
    page.wait_for_timeout(2_000)


def checks(page: Page, base: str) -> None:
    """Show the asset checks."""
    page.goto(f"{base}/assets/drift_report?view=checks")
    page.wait_for_timeout(4_000)


def ticks(page: Page, base: str) -> None:
    """Show what the sensor did."""
    page.goto(f"{base}/locations/transak_drift/sensors/drift_message_sensor")
    page.wait_for_timeout(4_000)


def main() -> None:
    """Take each picture."""
    base, target = sys.argv[1], Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        for shot in (lineage, report, picture, checks, ticks):
            shot(page, base)
            page.screenshot(path=target / f"{shot.__name__}.png")
        browser.close()


if __name__ == "__main__":
    main()
