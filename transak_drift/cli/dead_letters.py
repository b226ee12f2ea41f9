"""`transak-drift dead-letters`: look at rejected messages, publish them again."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    print_error,
    print_json,
    print_line,
    print_table,
)
from transak_drift.definitions import trigger_queue_resource
from transak_drift.settings import load_settings

app = typer.Typer(help="Rejected drift messages.", no_args_is_help=True)

LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Look at so many at most; by default at all.")
]

_MAX_BODY_BYTES = 2_000


@app.command("list")
def list_dead_letters(
    limit: LimitOption = None, model: ModelOption = None, as_json: JsonOption = False
) -> None:
    """List the dead letters with the reason of each, and leave them where they are."""
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        letters = queue.list_dead_letters(limit)
    if as_json:
        document = [
            {
                "message_id": letter.source_message_id,
                "reason": letter.reason,
                "detail": letter.detail,
                "forwarded": letter.publish_time.isoformat(),
                "attributes": dict(letter.message.attributes),
                "body": letter.message.data[:_MAX_BODY_BYTES].decode(errors="backslashreplace"),
            }
            for letter in letters
        ]
        # A publisher chose these texts: as ASCII no control character of theirs reaches a terminal.
        typer.echo(json.dumps(document, indent=2).replace("\x7f", "\\u007f"))
        return
    print_table(
        f"Dead letters in {config.dead_letter_subscription}",
        [
            {
                "message": _sanitize(letter.source_message_id),
                "reason": _sanitize(letter.reason),
                "detail": _sanitize(letter.detail),
                "forwarded": f"{letter.publish_time:%Y-%m-%d %H:%M:%S}",
            }
            for letter in letters
        ],
        "none",
    )


@app.command("replay")
def replay_dead_letters(
    message_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of rejected messages; without any: all.")
    ] = None,
    limit: LimitOption = None,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to the trigger topic again, once what made them fail is fixed.

    Ends with status 1 where an id is no dead letter's; the others are published all the same.
    """
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        replay = queue.replay_dead_letters(limit, message_ids or None)
    if as_json:
        print_json({"replayed": replay.published, "unknown": replay.missing})
    else:
        print_line(f"{len(replay.published)} message(s) published to {config.trigger_topic} again")
    if replay.missing:
        where = "" if limit is None else f" among the first {limit}"
        print_error(
            f"no dead letter{where} has the id {', '.join(map(_sanitize, replay.missing))}; "
            "`transak-drift dead-letters list` shows the ids"
        )
        raise typer.Exit(1)


def _sanitize(text: str) -> str:
    """Escape what a terminal would not print of a publisher's text."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
