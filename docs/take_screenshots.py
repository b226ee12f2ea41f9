"""Takes the pictures of the documentation, in headless Chromium, from a running Dagster UI.

    .venv/bin/python docs/take_screenshots.py

runs the demo in a directory of its own, starts the UI on its data (`transak-drift dev`, which is
`dagster dev` with daemon and code location), and takes each picture once what it shows is there. It
needs Debian's `chromium`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import tenacity
import typer
from playwright.sync_api import Page, ViewportSize, sync_playwright
from rich.console import Console

from transak_drift.definitions import trigger_queue_resource
from transak_drift.settings import Settings

CHROMIUM = "/usr/bin/chromium"
# The browser shall ask nobody but the UI.
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
WINDOW: ViewportSize = {"width": 1600, "height": 1000}
# Dagster's UI moves its graphs and panels into place.
SETTLE_MILLISECONDS = 2_500
COMMAND = [sys.executable, "-m", "transak_drift.cli.main"]

console = Console()


@dataclass(frozen=True)
class Ui:
    """A running UI on the demo's data.

    Args:
        address: its address.
        home: the directory of the demo's data.
        drift_day: the day that drifted, YYYY-MM-DD.
    """

    address: str
    home: Path
    drift_day: str


def lineage(page: Page, ui: Ui) -> None:
    """Show the assets from the transactions to the next baseline."""
    page.goto(
        f"{ui.address}/assets/baseline_dataset?view=lineage&lineageScope=upstream&lineageDepth=8"
    )
    page.get_by_text("model_monitor").first.wait_for()


def drift_report(page: Page, ui: Ui) -> None:
    """Show the report of the day that drifted."""
    page.goto(f"{ui.address}/assets/drift_report?view=partitions&partition={ui.drift_day}")
    page.get_by_text("verdict").first.wait_for()


def report_page(page: Page, ui: Ui) -> None:
    """Show the same report as a page of its own."""
    [file] = ui.home.glob(f"models/*/monitoring_jobs/{ui.drift_day.replace('-', '')}-*.html")
    page.goto(file.as_uri())


def model_page(page: Page, ui: Ui) -> None:
    """Show the version that the drift has trained."""
    [file] = ui.home.glob("models/*/registry/2.html")
    page.goto(file.as_uri())


def checks(page: Page, ui: Ui) -> None:
    """Show the asset checks, and what one says of the newest day."""
    page.goto(f"{ui.address}/assets/drift_report?view=checks&checkDetail=description_drift")
    page.get_by_text("description_drift").first.wait_for()


def ticks(page: Page, ui: Ui) -> None:
    """Show what the sensor says of a tick that had messages of every kind."""
    page.goto(f"{ui.address}/locations/transak_drift/sensors/drift_message_sensor")
    requests = page.get_by_role("row").filter(has_text="1 run requested")
    page.get_by_text("View logs").first.wait_for()
    before = requests.count()
    _publish(ui.home)
    while requests.count() == before:
        page.wait_for_timeout(500)
    requests.first.get_by_text("View logs").click()
    # The cursor, of which Dagster keeps a hidden copy, says it as well.
    page.get_by_text("training requested").locator("visible=true").first.wait_for()


def drift_history(page: Page, ui: Ui) -> None:
    """Show when drift began and ended."""
    page.goto(f"{ui.address}/assets/drift_history?view=overview")
    page.get_by_text("drift of description").first.wait_for()


SHOTS: Mapping[str, Callable[[Page, Ui], None]] = {
    "lineage": lineage,
    "drift_report": drift_report,
    "report_page": report_page,
    "model_page": model_page,
    "checks": checks,
    "ticks": ticks,
    "drift_history": drift_history,
}


def main(
    target: Annotated[Path, typer.Argument(help="Directory of the pictures.")] = Path(
        "docs/pictures"
    ),
    only: Annotated[list[str] | None, typer.Option(help="Names of pictures to take.")] = None,
    home: Annotated[
        Path | None, typer.Option(help="State of an earlier `transak-drift demo`, to reuse.")
    ] = None,
) -> None:
    """Take each picture."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="transak-drift-pictures-") as temporary:
        state = home or Path(temporary)
        if home is None:
            console.print("running the demo")
            _run_demo(state)
        with _running_ui(state / "demo") as ui, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
            for name, shot in SHOTS.items():
                if only and name not in only:
                    continue
                page = browser.new_page(viewport=WINDOW)
                shot(page, ui)
                page.wait_for_timeout(SETTLE_MILLISECONDS)
                page.screenshot(path=target / f"{name}.png")
                page.close()
                console.print(f"{target / name}.png")
            browser.close()


def _run_demo(home: Path) -> None:
    subprocess.run(
        [*COMMAND, "demo", "--json"], env=_environment(home), check=True, stdout=subprocess.PIPE
    )


def _publish(home: Path) -> None:
    """Publish copies of a drift message, one of a job without drift, and one that is no message."""
    settings = Settings(home=home)
    config = settings.load_configs()[0]
    with trigger_queue_resource(settings).open(config) as queue:
        queue.publish(b"not a log entry")
    quiet_day = date.fromisoformat(_drift_day(home)) - timedelta(days=1)
    for options in (("--copies", "3"), ("--job", f"{quiet_day:%Y%m%d}-baseline-1")):
        subprocess.run(
            [*COMMAND, "publish-drift", *options],
            env=_environment(home),
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def _running_ui(home: Path) -> Generator[Ui]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*COMMAND, "dev", "--port", str(port)],
        env=_environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_listens(port)
        yield Ui(address, home, _drift_day(home))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(ConnectionError),
    wait=tenacity.wait_fixed(1),
    stop=tenacity.stop_after_delay(120),
)
def _wait_until_it_listens(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)):
        pass


def _drift_day(home: Path) -> str:
    """Return the first day that drifted."""
    done = subprocess.run(
        [*COMMAND, "status", "--json"], env=_environment(home), check=True, capture_output=True
    )
    results = json.loads(done.stdout)["monitoring_results"]
    return min(result["window"] for result in results if result["verdict"] != "ok")


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "TRANSAK_DRIFT_HOME": str(home),
        # So long that all messages of a picture come in one tick.
        "TRANSAK_DRIFT_SENSOR_INTERVAL_SECONDS": "15",
    }


if __name__ == "__main__":
    typer.run(main)
