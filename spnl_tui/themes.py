"""Load themes from TOML files: ours in themes/, the user's in themes/ of the configuration directory.

A file sets the fields of a `textual.theme.Theme` and is named after the theme. `dark` and the colours are at
the top; the variables that Textual derives from them can be set in [variables]:

    dark = true
    primary = "#8fb4ff"
    background = "#0f1117"

    [variables]
    footer-key-foreground = "#f2b880"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from spnl_tui.errors import ThemeError, cause_of
from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.settings.toml import line_of, parse_toml
from spnl_tui.text import first_line
from spnl_tui.text_files import UnreadableFileError, read_text_file

if TYPE_CHECKING:
    from textual.theme import Theme

DEFAULT_THEME = "spnl-dark"
MAX_FILE_BYTES = 1_000_000

_COLORS = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "boost",
    "success",
    "warning",
    "error",
)
_SWITCHES = ("dark", "ansi")
_SHARES = ("luminosity_spread", "text_alpha")
FIELDS = (*_COLORS, *_SWITCHES, *_SHARES, "variables")
"""The keys at the top level of a theme file."""


def builtin_directory() -> Path:
    """Return the directory of our own themes: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "themes"
    return installed if installed.is_dir() else package.parent / "themes"


def load_themes(builtin: Path, user: Path) -> tuple[tuple[Theme, ...], tuple[ThemeError, ...]]:
    """Return every usable theme by name, and the errors of the others. Never raises.

    A theme of the user's replaces one of ours with the same name. Either directory may be missing.
    """
    themes: dict[str, Theme] = {}
    failures: list[ThemeError] = []
    for directory in (builtin, user):
        try:
            files = sorted(directory.glob("*.toml"))
        except OSError as error:
            failures.append(ThemeError("Themes cannot be read", f"{directory}: {cause_of(error)}"))
            continue
        for file in files:
            try:
                theme = load_theme(file)
            except ThemeError as error:
                failures.append(error)
            else:
                themes[theme.name] = theme
    return tuple(themes[name] for name in sorted(themes)), tuple(failures)


def wanted_theme(name: str, builtin: Path, user: Path) -> Theme | None:
    """Return the theme of this name for the start; None if it is missing or broken. Never raises."""
    for directory in (user, builtin):
        file = directory / f"{name}.toml"
        if Path(name).name == name and file.is_file():
            try:
                return load_theme(file)
            except ThemeError:
                continue  # `load_themes` reports it later
    return None


def load_theme(file: Path) -> Theme:
    """Return the theme in this file.

    Raises:
        ThemeError: the file cannot be read or is not a valid theme. It names the file, the line, the field
        and
            the nearest valid name.
    """
    from textual.theme import Theme

    try:
        text = read_text_file(file, MAX_FILE_BYTES)
        fields = parse_toml(text)
    except (UnreadableFileError, ValueError) as error:
        raise ThemeError(
            f"Cannot read the theme {file.stem}",
            f"{file}: {first_line(str(error), 300)}",
            "A theme must be a TOML file in UTF-8.",
        ) from error
    _Check(file, text).fields(fields)
    return Theme(name=file.stem, **fields)


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class _Check:
    """Check the theme before Textual does, because Textual ends the program on a mistake."""

    file: Path
    text: str

    def fields(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            if name in _COLORS:
                self.color((name,), value)
            elif name in _SWITCHES:
                if not isinstance(value, bool):
                    self.refuse((name,), f"{value!r} is neither true nor false.", "Write true or false.")
            elif name in _SHARES:
                number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if not (number and 0 <= value <= 1):
                    self.refuse(
                        (name,), f"{value!r} is not a number from 0 to 1.", "Leave it out if in doubt."
                    )
            elif name == "variables":
                pass
            else:
                self.refuse(
                    (name,),
                    "There is no such field.",
                    did_you_mean(name, FIELDS) or f"Fields are {', '.join(FIELDS)}.",
                )
        if "primary" not in fields:
            raise ThemeError(
                f"The theme {self.file.stem} has no primary color",
                f"{self.file}: primary is the one color that every theme must have.",
                'Add a line such as primary = "#8fb4ff".',
            )
        self.variables(fields)

    def variables(self, fields: dict[str, Any]) -> None:
        from textual.theme import Theme

        given = fields.get("variables", {})
        if not isinstance(given, dict):
            self.refuse(("variables",), "It is not a table.", "Write the variables below [variables].")
        colors = {name: value for name, value in fields.items() if name != "variables"}
        known = Theme(name=self.file.stem, **colors).to_color_system().generate()
        for name, value in given.items():
            path = ("variables", name)
            if name not in known:
                self.refuse(
                    path,
                    "Textual has no such variable.",
                    did_you_mean(name, known) or "docs/configuration.md tells where they are listed.",
                )
            self.variable(path, value)

    def color(self, path: tuple[str, ...], value: object) -> None:
        from textual.color import Color, ColorParseError

        try:
            Color.parse(value if isinstance(value, str) else repr(value))
        except ColorParseError as error:
            near = error.suggested_color
            self.refuse(
                path,
                f"{value!r} is not a color.",
                f"Did you mean {near}?"
                if near
                else 'Write it as "#8fb4ff", "rgb(143, 180, 255)" or "skyblue".',
            )

    def variable(self, path: tuple[str, ...], value: object) -> None:
        """Parse a stylesheet that uses the variable, so that Textual's own parser decides."""
        from textual.css.errors import StylesheetError
        from textual.css.stylesheet import Stylesheet
        from textual.css.tokenizer import TokenError

        name = path[-1]
        if "-style" in name:
            rule, example = "text-style", '"bold", "italic underline" or "none"'
        elif name.startswith("text") or name.endswith(("foreground", "color", "color-hover")):
            rule, example = "color", '"#8fb4ff", "#8fb4ff 60%" or "auto 87%"'
        else:
            rule, example = "background", '"#8fb4ff", "#8fb4ff 60%" or "transparent"'
        stylesheet = Stylesheet(variables={"value": value if isinstance(value, str) else "not a text"})
        stylesheet.add_source(f"Any {{ {rule}: $value; }}")
        try:
            stylesheet.parse()
        except (StylesheetError, TokenError):
            self.refuse(path, f"{value!r} is not a {rule}.", f"Write it as {example}.")

    def refuse(self, path: tuple[str, ...], reason: str, hint: str) -> NoReturn:
        line = line_of(self.text, path)
        raise ThemeError(
            f"The theme {self.file.stem} is wrong",
            f"{self.file}{f', line {line}' if line else ''}: {'.'.join(path)}: {reason}",
            hint,
        )
