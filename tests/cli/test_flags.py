"""Flags of option classes: names, defaults, nesting, --config."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from thcli.cli.flags import flags
from thcli.core.errors import UsageError
from thcli.core.options import MotionOptions, option


@dataclass(frozen=True, slots=True)
class Pot:
    """Nested options."""

    size: int = option(2, "Cups.")
    lid: bool = option(False, "With a lid.")
    milk: bool = option(True, "With milk.", "--milk/--no-milk")
    secret: int = option(7, "Not a flag.", hidden=True)


@dataclass(frozen=True, slots=True)
class Tea:
    """Options."""

    kind: str = option("green", "Which.", "--sort")
    pot: Pot = field(default_factory=Pot)


def parse(argv: list[str]) -> Any:
    """Return the arguments that a command receives."""
    app = typer.Typer()
    received: list[Any] = []

    @app.command()
    @flags
    def make(
        name: str,
        *,
        out: Annotated[Path | None, typer.Option("-o")] = None,
        tea: Tea,
        motion: MotionOptions,
    ) -> None:
        received.extend([name, out, tea, motion])

    @app.command()
    def other() -> None:
        """Make `make` a subcommand: Typer runs a single command without its name."""

    group = typer.Typer()
    group.command("stir")(other)
    app.add_typer(group, name="group")
    app(["make", *argv], standalone_mode=False)
    return received


def test_defaults_and_values() -> None:
    assert parse(["x"]) == ["x", None, Tea(), MotionOptions()]
    name, out, tea, motion = parse(
        ["x", "-o", "y", "--sort", "black", "--size", "3", "--lid", "--motion", "absolute"]
    )
    assert (name, out, tea.kind, tea.pot) == ("x", Path("y"), "black", Pot(3, True, secret=7))
    assert motion.mode == "absolute"


def test_hidden_fields_have_no_flags() -> None:
    with pytest.raises(typer.TyperException):
        parse(["x", "--secret", "1"])


def test_flags_override_the_config_file(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        'size = 5\nmotion = "absolute"\n[make]\nsort = "white"\n[other]\nsort = "no"\n'
    )
    _, _, tea, motion = parse(["x", "--config", str(config), "--size", "6"])
    assert (tea.kind, tea.pot.size, motion.mode) == ("white", 6, "absolute")


@pytest.mark.parametrize(
    "text",
    [
        "[make]\nsugar = 1\n",
        "sugar = 1\n",
        "[tea]\nsize = 1\n",
        "[size]\nx = 1\n",
        "[group]\nsize = 1\n",
        "other = 3\n",
        "no-milk = 3\n",
        "not toml",
        "make = 3\n",
        "make = []\n",
        "[[make]]\nsize = 1\n",
        f"size = {'[' * 5000}{']' * 5000}\n",
        f"size = {'9' * 5000}\n",
    ],
)
def test_a_bad_config_is_a_usage_error(tmp_path: Path, text: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    with pytest.raises(UsageError, match=r"c\.toml"):
        parse(["x", "--config", str(config)])


@pytest.mark.parametrize(
    ("text", "is_with_milk"),
    [
        ("no-milk = true\n", False),
        ("no_milk = false\n", True),
        ("milk = false\n", False),
        ("no-milk = true\n[make]\nmilk = true\n", True),
    ],
)
def test_a_config_turns_a_flag_off(tmp_path: Path, text: str, is_with_milk: bool) -> None:
    config = tmp_path / "c.toml"
    config.write_text(text)
    assert parse(["x", "--config", str(config)])[2].pot.milk is is_with_milk
