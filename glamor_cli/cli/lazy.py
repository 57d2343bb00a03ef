"""Commands that are imported when they are run: help and a quick command pay for no other."""

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """A command of which only the name and a line of help are known until it is run.

    Args:
        name: As typed. The command is the function or ``Typer`` of that name, underscores for
            dashes, in the module of that name beside this one.
        line: What it does, for the list of commands.
    """

    def __init__(self, name: str, line: str) -> None:
        super().__init__(name, help=line)
        self._name = name
        self._symbol = name.replace("-", "_")

    def load(self) -> Any:
        """Import the command and make it ready, options and all."""
        module = importlib.import_module(f"{__package__}.{self._symbol}")
        command = getattr(module, self._symbol)
        home = typer.Typer(add_completion=False, rich_markup_mode=self.rich_markup_mode)
        if isinstance(command, typer.Typer):
            home.add_typer(command, name=self.name)
        else:
            home.command(self.name)(command)
        return typer.main.get_group(home).commands[self._name]

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments with the command itself; its context then leads to it."""
        _quiet_matplotlib()
        try:
            return self.load().make_context(*arguments, **options)
        except typer.BadParameter as error:
            # Validation's own way to begin, which says nothing to whoever typed the option.
            error.message = error.message.removeprefix("Value error, ")
            raise


def _quiet_matplotlib() -> None:
    """Have it warn of nothing, as it would of its cache where no home can be written to."""
    # Late, because the version and the list of commands need no logging.
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def lazy_group(commands: dict[str, str]) -> type[TyperGroup]:
    """Make the class of a group of commands that are imported when they are run.

    Args:
        commands: What each does, by its name, in the order of the help.
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            for name, line in commands.items():
                self.add_command(LazyCommand(name, line))

    return LazyGroup
