"""The ``rayatari`` command (contract C1). Each command's code is imported only when it is called."""

import argparse
import importlib
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from rayatari import __version__
from rayatari.config.load import describe_fields, load_config
from rayatari.config.schema import Config
from rayatari.errors import UserError, remedy_for

EXIT_DONE, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 2, 130


@dataclass(frozen=True)
class Command:
    """One command: the function that runs it, and the config section its bare keys belong to."""

    entry: str
    """``module:function``, called with the resolved Config."""
    section: str
    """Config section in which ``key=value`` words are looked up first."""
    summary: str
    """One line for ``--help``."""


COMMANDS = {
    "games": Command("rayatari.games.listing:run", "", "list the games, their actions and their palettes"),
    "show-config": Command("rayatari.config.show:run", "", "print the resolved configuration as YAML"),
    "train-agent": Command("rayatari.agent.train:run", "agent", "train a DQN with RLlib"),
    "record": Command("rayatari.dataset.record:run", "record", "record play, or describe a dataset"),
    "train-world": Command("rayatari.training.world:run", "world", "train the latent-action VQ-VAE"),
    "train-mapper": Command("rayatari.training.mapper:run", "mapper", "train the mapper, action to codes"),
    "evaluate": Command("rayatari.evaluate.run:run", "evaluate", "compare neural and real game"),
    "play": Command("rayatari.play.run:run", "play", "play a game, neural or real, in a window"),
    "serve": Command("rayatari.serve.run:run", "serve", "serve the neural game over HTTP and WebSocket"),
    "sweep": Command("rayatari.sweep.run:run", "sweep", "find the best loss weights with Ray Tune"),
    "pipeline": Command("rayatari.pipeline:run", "", "run every stage that is not finished yet"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 user error, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        name, config = parse_command(words)
        signal.signal(signal.SIGTERM, _interrupt)
        module, function = COMMANDS[name].entry.split(":")
        getattr(importlib.import_module(module), function)(config)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nrayatari: interrupted; run the same command again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except UserError as error:
        return _user_error(str(error))
    except OSError as error:
        remedy = remedy_for(error)
        if remedy is None:
            raise
        return _user_error(remedy)
    return EXIT_DONE


def parse_command(words: Sequence[str]) -> tuple[str, Config]:
    """The command that ``words`` name, and its resolved configuration; UserError where they are wrong."""
    options = _parser().parse_args(words)
    section = COMMANDS[options.command].section
    return options.command, load_config(options.config + options.config_after, options.settings, section)


def _user_error(message: str) -> int:
    print(f"rayatari: error: {' '.join(message.split())}", file=sys.stderr)
    return EXIT_USER_ERROR


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} ('rayatari --help' lists the commands)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rayatari",
        description="Learn Atari games as neural networks and play them. Everything big runs on Ray.",
        epilog="Settings are written key=value, for example: rayatari record steps=100000 seed=3",
    )
    parser.add_argument("--version", action="version", version=f"rayatari {__version__}")
    _add_config_option(parser, "config")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=_settings_help(command.section),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _add_config_option(sub, "config_after")
        sub.add_argument("settings", nargs="*", metavar="key=value", help="override a setting")
    return parser


def _add_config_option(parser: argparse.ArgumentParser, dest: str) -> None:
    parser.add_argument(
        "--config",
        dest=dest,
        metavar="FILE",
        action="append",
        default=[],
        help="YAML file with settings; may be given several times, later files win",
    )


def _settings_help(section: str) -> str:
    """The settings of a command with their defaults and docstrings; the root's where it has none."""
    lines = [f"settings of {section} (defaults):" if section else "settings (defaults):"]
    for key, value, doc in describe_fields(section):
        lines.append(f"  {key}={value}")
        lines += textwrap.wrap(doc, 96, initial_indent="      ", subsequent_indent="      ")
    if section:
        lines.append("other sections by full name, such as training.backend=local: see rayatari show-config")
    return "\n".join(lines)
