"""``drumbeat controller``: run the controller in the foreground, as systemd would."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bus.amqp_url import BadBrokerUrl
from bus.keys import BadKey
from controller.cli.options import FAILED
from controller.cli.tables import show, talk
from controller.logs import configure_logging
from controller.settings import SettingsError, example, load_settings
from controller.store import StoreError


def _option(flag: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(flag, help=f"{text} (see --print-config)", show_default=False)
    return option


def controller(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A YAML file of settings.", envvar="DRUMBEAT_CONFIG")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print a commented example of the file, and end.")
    ] = False,
    repository: Annotated[str | None, _option("--repository", "The state repository.")] = None,
    branch: Annotated[str | None, _option("--branch", "The branch that is followed.")] = None,
    folder: Annotated[str | None, _option("--folder", "The folder in the repository.")] = None,
    poll_interval: Annotated[str | None, _option("--poll-interval", "Time between two looks at it.")] = None,
    data_directory: Annotated[str | None, _option("--data-directory", "Where store and mirror lie.")] = None,
    keys_directory: Annotated[str | None, _option("--keys-directory", "Where the keys lie.")] = None,
    listen: Annotated[str | None, _option("--listen", "ADDRESS:PORT for agents, API and metrics.")] = None,
    bus: Annotated[str | None, _option("--bus", "http, or amqps://HOST:PORT,.../VHOST.")] = None,
    bus_management: Annotated[str | None, _option("--bus-management", "https://HOST:PORT of the broker.")] = None,
    heartbeat_interval: Annotated[str | None, _option("--heartbeat-interval", "Time between short reports.")] = None,
    node_timeout: Annotated[str | None, _option("--node-timeout", "Silence after which a node is unknown.")] = None,
    log_level: Annotated[str | None, _option("--log-level", "The least that is logged.")] = None,
    log_format: Annotated[str | None, _option("--log-format", "auto, text or json.")] = None,
) -> None:
    """Run the controller until it is stopped.

    Flags go before variables (DRUMBEAT_...), variables before the file. Exit codes: 0 stopped; 1 failed.
    """
    if print_config:
        show(example())
        return
    given = {
        name: value
        for name, value in {**locals()}.items()
        if value is not None and name not in ("config", "print_config")
    }
    try:
        settings = load_settings(given, config)
        configure_logging(sys.stderr, settings.log_level, settings.log_format)
        # Imported here: the API and the store would slow every other command down.
        from controller.main import run_controller  # noqa: PLC0415

        raise typer.Exit(run_controller(settings))
    except (SettingsError, BadBrokerUrl, BadKey, StoreError) as error:
        talk(f"error: {error}")
        raise typer.Exit(FAILED) from error
    except OSError as error:
        talk(f"error: {error}; see --data-directory and --listen")
        raise typer.Exit(FAILED) from error
