"""Pictures of half blocks, which every terminal with colours shows.

The protocols for whole pictures (Kitty, Sixel) need answers of the terminal before Textual reads its input,
which would delay the first paint.
"""

from __future__ import annotations

from textual.content import Content


def half_blocks(width: int, height: int, pixels: bytes) -> Content:
    """Return an image as text: each character shows two pixels, one above the other.

    `pixels` has three bytes for each pixel; the height is even.
    """
    lines: list[Content] = []
    for row in range(0, height, 2):
        cells: list[tuple[str, str]] = []
        for column in range(width):
            upper, lower = ((row + half) * width + column for half in (0, 1))
            style = f"{_colour(pixels, upper)} on {_colour(pixels, lower)}"
            if cells and cells[-1][1] == style:
                cells[-1] = (cells[-1][0] + "▀", style)
            else:
                cells.append(("▀", style))
        lines.append(Content.assemble(*cells))
    return Content("\n").join(lines)


def _colour(pixels: bytes, place: int) -> str:
    red, green, blue = pixels[3 * place : 3 * place + 3]
    return f"rgb({red},{green},{blue})"
