"""What the others run for each call: the tool `text.slug` as a plain Python function, in no sandbox."""

from __future__ import annotations

import re
import unicodedata


def slug(text: str) -> dict[str, str]:
    """The same as the tool `text.slug`, in Python."""
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return {"slug": re.sub(r"[^a-z0-9]+", "-", folded).strip("-")}
