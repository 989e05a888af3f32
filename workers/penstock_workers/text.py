"""Text that a guest wrote, made fit for a log line, a terminal and a result."""

from __future__ import annotations

import re

#: Bytes of a message from a guest that a result keeps.
MESSAGE_BYTES = 4096

#: Control characters (tab aside), line separators, and the marks that turn the direction of a line: what
#: could forge a log line, drive a terminal or hide text.
_UNSAFE = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]"
)


def clean(text: str, max_bytes: int = MESSAGE_BYTES) -> str:
    """The text on one line with its unsafe characters spelled out, cut to `max_bytes` of UTF-8."""
    if not text.isprintable():
        text = _UNSAFE.sub(_spell, text[:max_bytes])
    return cut(text, max_bytes)


def cut(text: str, max_bytes: int) -> str:
    """The longest beginning of the text that fits into `max_bytes` of UTF-8."""
    if len(text) * 4 <= max_bytes:
        return text
    return text[:max_bytes].encode()[:max_bytes].decode(errors="ignore")


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code == 0x0A:
        return "\\n"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
