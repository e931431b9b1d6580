"""``drumbeat events``: the record of who did what to what, and why."""

import json
import time
from typing import Annotated

import typer

from controller.cli.client import Client, Resource
from controller.cli.get import INTERVAL, as_json, as_yaml
from controller.cli.options import SERVER, Form, Output, Server, Watch, explained
from controller.cli.tables import Table, show, talk

TITLES = ("TIME", "BY", "VERB", "OBJECT", "REASON", "MESSAGE")


def event_row(event: Resource) -> list[object]:
    """An event in the columns of ``TITLES``; times in UTC, to the second."""
    at = event["at"][:19].replace("T", " ")
    return [at, event["actor"], event["verb"], event["object"], event["reason"], event["message"]]


def events(
    watch: Watch = False,
    about: Annotated[
        str | None, typer.Option("--for", metavar="OBJECT", help="Only about a target with its hosts, or a node.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=5000, help="How many of the newest.")] = 50,
    output: Output = Form.TABLE,
    server: Server = SERVER,
) -> None:
    """Show the newest events, oldest first; with -w go on with new ones as they come.

    With -w, -o json prints one event on a line.

    Exit codes: 0 shown, 1 no answer, 2 wrong use.
    """
    client, table = Client(server), Table(TITLES)
    with explained():
        found = client.events(about, limit=limit)
        if output in (Form.JSON, Form.YAML) and not watch:
            show(as_json(found) if output is Form.JSON else as_yaml(found))
            return
        if not found["items"] and not watch:
            talk("no events found")
            return
        _print(found["items"], table, output, header=True)
        while watch:
            time.sleep(INTERVAL)
            found = client.events(about, after=found["metadata"]["resourceVersion"])
            _print(found["items"], table, output, header=False)


def _print(items: list[Resource], table: Table, form: Form, header: bool) -> None:
    if form is Form.JSON:
        lines = [json.dumps(item) for item in items]
    elif form is Form.YAML:
        lines = ["---\n" + as_yaml(item) for item in items]
    elif form is Form.NAME:
        lines = [f"event/{item['id']}" for item in items]
    else:
        lines = table.lines([event_row(item) for item in items], header)
    if lines:
        show(lines)
