"""Themes: ours are legible, the user's are checked before Textual meets them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import Theme
from textual.widgets import Footer, Input, Markdown

from spnl_tui.errors import ThemeError
from spnl_tui.settings import Settings
from spnl_tui.themes import DEFAULT_THEME, FIELDS, builtin_directory, load_theme, load_themes

NOWHERE = Path("/nonexistent")
BUILTIN, FAILURES = load_themes(builtin_directory(), NOWHERE)
by_name = pytest.mark.parametrize("theme", BUILTIN, ids=lambda theme: theme.name)


def test_built_in_themes_are_valid_and_both_light_and_dark() -> None:
    assert FAILURES == ()
    assert sum(theme.dark for theme in BUILTIN) >= 3
    assert sum(not theme.dark for theme in BUILTIN) >= 3
    assert DEFAULT_THEME in {theme.name for theme in BUILTIN}
    assert Settings().interface.theme == DEFAULT_THEME


def test_every_field_of_textual_themes_is_known() -> None:
    assert {*FIELDS, "name"} == {*Theme.__dataclass_fields__}


# ── legibility ───────────────────────────────────────────────────────────────────────────────────


def luminance(color: Color) -> float:
    """Relative luminance as WCAG 2.2 defines it."""

    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def contrast(css_color: str, ground: Color) -> float:
    """WCAG 2.2 contrast ratio of text on an opaque ground."""
    if css_color.startswith("auto"):
        text = ground.get_contrast_text(int(css_color.removeprefix("auto ").rstrip("%")) / 100)
    else:
        text = Color.parse(css_color)
    light, dark = sorted((luminance(ground + text), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXTS = [
    *("foreground", "foreground-muted", "text", "text-muted", "markdown-h6-color"),
    *("primary", "secondary", "accent", "success", "warning", "error"),
    *("text-primary", "text-secondary", "text-accent", "text-success", "text-warning", "text-error"),
]


@by_name
def test_text_is_legible_on_every_background(theme: Theme) -> None:
    css = {**theme.to_color_system().generate(), **theme.variables}
    least = 7.0 if theme.name.startswith("contrast") else 4.5
    poor = {
        (text, ground): round(ratio, 1)
        for ground in ("background", "surface", "panel")
        for text in TEXTS
        if (ratio := contrast(css[text], Color.parse(css[ground]))) < least
    }
    assert poor == {}


@by_name
def test_text_is_legible_on_coloured_blocks(theme: Theme) -> None:
    css = {**theme.to_color_system().generate(), **theme.variables}
    background = Color.parse(css["background"])
    for color in ("primary", "secondary", "accent", "success", "warning", "error"):
        assert contrast(css["text"], Color.parse(css[color])) >= 4.5
        assert contrast(css[f"text-{color}"], background + Color.parse(css[f"{color}-muted"])) >= 4.5
    assert contrast(css["block-cursor-foreground"], Color.parse(css["block-cursor-background"])) >= 4.5


@by_name
def test_selected_text_is_legible(theme: Theme) -> None:
    css = {**theme.to_color_system().generate(), **theme.variables}
    least = 7.0 if theme.name.startswith("contrast") else 4.5
    for ground in ("background", "surface", "panel"):
        for selection in ("input-selection-background", "screen-selection-background"):
            selected = Color.parse(css[ground]) + Color.parse(css[selection])
            assert contrast(css["foreground"], selected) >= least


@pytest.mark.slow
async def test_every_theme_can_be_applied() -> None:
    class Gallery(App[None]):
        def compose(self) -> ComposeResult:
            yield Markdown("# One\n\n###### Six\n\n```python\nprint(1)\n```")
            yield Input()
            yield Footer()

    app = Gallery()
    async with app.run_test() as pilot:
        for theme in BUILTIN:
            app.register_theme(theme)
            app.theme = theme.name
            await pilot.pause()
            assert app.current_theme is theme


# ── the user's themes ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("primary = '#fff'\nsurfce = '#000'\n", "line 2: surfce", "surface"),
        ("primary = '#fff'\nname = 'x'\n", "line 2: name", "Fields are"),
        ("\nprimary = '#ggg'\n", "line 2: primary", ""),
        ("primary = 'bleu'\n", "line 1: primary", "blue"),
        ("primary = 3\n", "line 1: primary", ""),
        ("primary = '#fff'\ndark = 'yes'\n", "line 2: dark", "true or false"),
        ("primary = '#fff'\ntext_alpha = 2\n", "line 2: text_alpha", ""),
        ("background = '#fff'\n", "primary", "primary ="),
        ("primary = '#fff'\nvariables = 1\n", "line 2: variables", "[variables]"),
        (
            "primary = '#fff'\n[variables]\nfooter-key-foregruond = '#fff'\n",
            "line 3",
            "footer-key-foreground",
        ),
        ("primary = '#fff'\n[variables]\nborder = 'auto 60%'\n", "line 3: variables.border", "transparent"),
        ("primary = '#fff'\n[variables]\nborder = 7\n", "line 3: variables.border", "transparent"),
        ("primary = '#fff'\n[variables]\nlink-style = 'blod'\n", "line 3: variables.link-style", "bold"),
        ("primary = '#fff'\n[variables]\ntext-muted = 'red; } X {'\n", "line 3", "auto 87%"),
        ("primary = \n", "line 1", "TOML"),
    ],
)
def test_broken_theme_is_reported_and_skipped(tmp_path: Path, text: str, place: str, hint: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    themes, (failure,) = load_themes(builtin_directory(), tmp_path)
    assert len(themes) == len(BUILTIN)
    assert isinstance(failure, ThemeError)
    assert str(file) in failure.message
    assert "mine" in failure.title
    assert place in failure.message
    assert hint in failure.hint


def test_unreadable_theme_is_reported(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    (tmp_path / "link.toml").symlink_to(tmp_path / "gone")
    themes, failures = load_themes(NOWHERE, tmp_path)
    assert themes == ()
    assert sorted(failure.title.split()[-1] for failure in failures) == ["bytes", "folder", "link"]


def test_user_theme_replaces_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "spnl-dark.toml").write_text(
        "primary = 'skyblue'\n[variables]\nfooter-key-foreground = '#fff 60%'\ntext-muted = 'auto 70%'\n"
    )
    themes, failures = load_themes(builtin_directory(), tmp_path)
    assert failures == ()
    assert len(themes) == len(BUILTIN)
    assert load_theme(tmp_path / "spnl-dark.toml") in themes


# ── installed ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow  # builds the wheel
def test_installed_wheel_contains_the_themes(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(root)], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import spnl_tui.themes as t, pathlib\n"
        "themes, failures = t.load_themes(t.builtin_directory(), pathlib.Path('/nonexistent'))\n"
        "print(t.builtin_directory(), len(themes), len(failures))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "site",
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "site" / "spnl_tui" / "themes"), str(len(BUILTIN)), "0"]


def test_documentation_lists_every_theme() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    assert [theme.name for theme in BUILTIN if f"`{theme.name}`" not in text] == []
