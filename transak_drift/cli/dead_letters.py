"""`transak-drift dead-letters`: look at rejected messages, publish them again."""

from __future__ import annotations

from typing import Annotated

import typer

from transak_drift.cli.output import (
    JsonOption,
    ModelOption,
    console,
    print_json,
    print_table,
)
from transak_drift.definitions import trigger_queue_resource
from transak_drift.settings import load_settings

dead_letters_app = typer.Typer(help="Rejected drift messages.", no_args_is_help=True)

LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Look at so many at most.")]

_LONGEST_BODY = 2_000


@dead_letters_app.command("list")
def list_dead_letters(
    limit: LimitOption = 100, model: ModelOption = None, as_json: JsonOption = False
) -> None:
    """List the dead letters with the reason of each, and leave them where they are."""
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        letters = queue.list_dead_letters(limit)
    if as_json:
        print_json(
            [
                {
                    "message_id": letter.source_message_id,
                    "reason": letter.reason,
                    "detail": letter.detail,
                    "forwarded": letter.publish_time.isoformat(),
                    "attributes": dict(letter.message.attributes),
                    "body": letter.message.data[:_LONGEST_BODY].decode(errors="backslashreplace"),
                }
                for letter in letters
            ]
        )
        return
    print_table(
        f"Dead letters in {config.dead_letter_subscription}",
        [
            {
                "message": letter.source_message_id,
                "reason": letter.reason,
                "detail": letter.detail,
                "forwarded": f"{letter.publish_time:%Y-%m-%d %H:%M:%S}",
            }
            for letter in letters
        ],
        "none",
    )


@dead_letters_app.command("replay")
def replay_dead_letters(
    message_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of rejected messages; without any: all.")
    ] = None,
    limit: LimitOption = 100,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish dead letters to the trigger topic again, once what made them fail is mended."""
    settings = load_settings()
    config = settings.load_config(model)
    with trigger_queue_resource(settings).open(config) as queue:
        replayed = queue.replay_dead_letters(limit, message_ids or None)
    if as_json:
        print_json({"replayed": replayed})
        return
    console.print(f"{len(replayed)} message(s) published to {config.trigger_topic} again")
