"""The world `grain-plugin` as WIT, with only those functions of the host that a plugin asks for.

Toolchains that read WIT import everything that a world imports, used or not. So each plugin is built for a
world of its own: one that asks for nothing imports nothing, and is seen to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from penstock_plugins.shipped import wit_folder
from penstock_workers.toolchain.world import BATCH_INTERFACE, HOST_FUNCTIONS

WORLD = "grain-plugin"

#: What each capability lets a plugin call.
FUNCTIONS_OF = {"log": ("log",), "env": ("env-get",), "http": ("http-get", "http-post")}

_HOST = re.compile(r"^interface host \{\n(?P<body>.*?)^\}\n", re.MULTILINE | re.DOTALL)
_BATCH_WORLD = re.compile(r"^/// [^\n]*\nworld .*?^\}\n", re.MULTILINE | re.DOTALL)
_OTHER_WORLDS = re.compile(r"^world (?!grain-plugin \{).*?^\}\n", re.MULTILINE | re.DOTALL)


def host_functions(capabilities: Iterable[str]) -> list[str]:
    """The host's functions that a plugin with these capabilities may call, in the world's order."""
    allowed = {function for name in capabilities for function in FUNCTIONS_OF.get(name, ())}
    return [function for function in HOST_FUNCTIONS if function in allowed]


def narrowed_wit(capabilities: Iterable[str], *, batch: bool = False) -> str:
    """The text of the world `grain-plugin` for a plugin with these capabilities.

    Args:
        capabilities: what its manifest asks for.
        batch: whether it exports the batch entry point.
    """
    kept = host_functions(capabilities)
    text = _OTHER_WORLDS.sub("", (wit_folder() / "grain-plugin.wit").read_text())
    if batch:
        text = text.replace("    export plugin;\n", f"    export plugin;\n    export {BATCH_INTERFACE};\n")
        text += _batch_package()
    if not kept:
        return _HOST.sub("", text).replace("    import host;\n", "")
    types = {name for function in kept for name in HOST_FUNCTIONS[function].types}
    return _HOST.sub(
        lambda found: f"interface host {{\n{_narrowed(found['body'], {*kept, *types})}}}\n", text
    )


def _batch_package() -> str:
    """The package of the batch entry point without its world, as a part of another package's file."""
    text = _BATCH_WORLD.sub("", (wit_folder() / "batch" / "penstock-batch.wit").read_text())
    _, declared, interface = text.partition("package penstock:batch;\n")
    return f"\n{declared.rstrip().removesuffix(';')} {{\n{interface.strip()}\n}}\n"


def _narrowed(body: str, kept: set[str]) -> str:
    """The items of an interface's body that are kept. Items are apart by blank lines."""
    items = body.rstrip().split("\n\n")
    return "\n\n".join(item for item in items if _name(item) in kept) + "\n"


def _name(item: str) -> str:
    first = next(line.strip() for line in item.splitlines() if not line.strip().startswith("//"))
    return re.split(r"[ :{]+", re.sub(r"^(enum|record|variant|type) ", "", first))[0]
