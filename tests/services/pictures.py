"""Pictures of the web UI for the docs: the browser's tests take them where `make screenshots` asks for them."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

_WIDTH = 1400
#: Enough for a UI of few colours; the file is a third of what the browser writes.
_COLOURS = 256


def keep_picture(page: Page, name: str, height: int = 800) -> None:
    """Keep what a page shows as docs/images/<name>.png, if ASPECTS_SCREENSHOTS names a folder.

    Args:
        page: showing what is to be seen, at whatever size.
        name: of the picture.
        height: of what is shown, in pixels. The width is always the same.
    """
    folder = os.environ.get("ASPECTS_SCREENSHOTS")
    if not folder:
        return
    page.set_viewport_size({"width": _WIDTH, "height": height})
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")
    # Without what moves or blinks, two takes of the same page are the same.
    taken = page.screenshot(animations="disabled", caret="hide")
    colours = Image.open(io.BytesIO(taken)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    colours.save(Path(folder) / f"{name}.png", optimize=True)
