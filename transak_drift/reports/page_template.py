"""The templates of the pages for people: HTML in which every text is escaped."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from transak_drift.reports.report_charts import printable


@cache
def page_template(name: str) -> Template:
    """Return a template of this directory.

    Args:
        name: its file's name, e.g. `report_page.html.j2`.

    Returns:
        The template; it escapes what it is given, and refuses to leave out what it is not given.
    """
    environment = Environment(
        loader=PackageLoader("transak_drift", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    return environment.get_template(name)
