"""`transak-drift dead-letters`: look at rejected messages, publish them again."""

from __future__ import annotations

from typing import Annotated

import typer

from transak_drift.cli import output
from transak_drift.definitions import trigger_queue_resource
from transak_drift.settings import load_settings

app = typer.Typer(help="Rejected drift messages.", no_args_is_help=True)

LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Look at so many at most; by default at all.")
]

_MAX_BODY_BYTES = 2_000
_COLUMNS = ("message_id", "reason", "detail", "forwarded")


@app.command("list")
def list_dead_letters(
    limit: LimitOption = None, model: output.ModelOption = None, as_json: output.JsonOption = False
) -> None:
    """List the dead letters with the reason of each, and leave them where they are."""
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        letters = [
            {
                "message_id": letter.source_message_id,
                "reason": letter.reason,
                "detail": letter.detail,
                "forwarded": letter.publish_time.isoformat(timespec="seconds"),
                "attributes": dict(letter.message.attributes),
                "body": letter.message.data[:_MAX_BODY_BYTES].decode(errors="backslashreplace"),
            }
            for letter in queue.list_dead_letters(limit)
        ]
    if as_json:
        output.print_json(letters)
        return
    rows = [{name: letter[name] for name in _COLUMNS} for letter in letters]
    output.print_table(f"Dead letters in {config.dead_letter_subscription}", rows, "none")


@app.command("replay")
def replay_dead_letters(
    message_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of rejected messages; without any: all.")
    ] = None,
    limit: LimitOption = None,
    model: output.ModelOption = None,
    as_json: output.JsonOption = False,
) -> None:
    """Publish dead letters to the trigger topic again, once what made them fail is fixed.

    Ends with status 1 where an id is no dead letter's; the others are published all the same.
    """
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        replay = queue.replay_dead_letters(limit, message_ids or None)
    if as_json:
        output.print_json({"replayed": replay.published, "unknown": replay.missing})
    else:
        output.print_line(
            f"{len(replay.published)} message(s) published to {config.trigger_topic} again"
        )
    if replay.missing:
        where = "" if limit is None else f" among the first {limit}"
        output.print_error(
            f"no dead letter{where} has the id {', '.join(replay.missing)}; "
            "`transak-drift dead-letters list` shows the ids"
        )
        raise typer.Exit(1)
