"""How commands are declared, so that every help text is Chinese and looks alike."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from data.errors import BundleError, FenzhenError, PolicyError

Command = TypeVar("Command", bound=Callable[..., None])

ARGUMENTS, OPTIONS, COMMANDS = "参数", "选项", "命令"


class _HelpInChinese(TyperCommand):
    def get_help_option(self, ctx: Any) -> Any:
        return _translated(super().get_help_option(ctx))


class _GroupHelpInChinese(TyperGroup):
    def get_help_option(self, ctx: Any) -> Any:
        return _translated(super().get_help_option(ctx))


def _translated(option: Any) -> Any:
    option.help, option.rich_help_panel = "显示本帮助。", OPTIONS
    return option


def group(help: str, **settings: Any) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        help=help,
        cls=_GroupHelpInChinese,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        **settings,
    )


def command(group: typer.Typer, name: str | None = None) -> Callable[[Command], Command]:
    """Declares a command of ``group``; its docstring is the help."""
    return group.command(name, cls=_HelpInChinese, rich_help_panel=COMMANDS)


def option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=OPTIONS, **settings)


def argument(help: str, **settings: Any) -> Any:
    return typer.Argument(help=help, rich_help_panel=ARGUMENTS, show_default=False, **settings)


def say(message: str) -> None:
    """To the person at the screen, beside the output."""
    print(message, file=sys.stderr)


def error_text(error: FenzhenError) -> str:
    """The error as a person reads it."""
    if isinstance(error, PolicyError):
        return str(error)
    return f"错误：模型包不能用：{error}" if isinstance(error, BundleError) else f"错误：{error}"
