"""docs/reference/cli.md, from the commands."""

from collections.abc import Iterator
from typing import Any

import typer

from app.__main__ import command_line
from tests.docs.reference.markdown import NOTE, table

INTRODUCTION = """\
# Command line

`make setup` puts `newsstand` into `.venv/bin`; the container image has it on its path. Settings come from the
[environment](settings.md). Invalid settings end a command with exit status 2.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([NOTE, INTRODUCTION, *_commands("newsstand", typer.main.get_command(command_line()))])


def _commands(name: str, group: Any) -> Iterator[str]:
    for word, command in group.commands.items():
        full = f"{name} {word}"
        yield f"{'#' * (full.count(' ') + 1)} `{full}`\n"
        yield _help(command.help or "")
        rows = (_parameter(one) for one in command.params if one.name != "help")
        if text := table(["option", "default", "description"], rows):
            yield text
        if hasattr(command, "commands"):
            yield from _commands(full, command)


def _help(text: str) -> str:
    """Return a help text: what click keeps as it is written, after a line with a backspace alone, becomes a code block."""
    parts: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.split("\n")[1:]
            indent = min(len(one) - len(one.lstrip()) for one in lines)
            parts.append("\n".join(["```text", *(one[indent:] for one in lines), "```"]))
        else:
            parts.append(" ".join(one.strip() for one in paragraph.splitlines()))
    return "\n\n".join(parts) + "\n"


def _parameter(parameter: Any) -> tuple[str, str, str]:
    required, default = parameter.required, parameter.default
    shown = "required" if required else "" if default in (None, False, [], ()) or callable(default) else f"`{default}`"
    is_option = parameter.param_type_name == "option"
    names = ", ".join(f"`{one}`" for one in parameter.opts) if is_option else f"`{parameter.name.upper()}`"
    return names, shown, parameter.help or ""
