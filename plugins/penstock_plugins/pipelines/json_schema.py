"""The published JSON Schema of a pipeline's file, for editors: generated from the model.

`python -m penstock_plugins.pipelines.json_schema` makes it; `pipeline.schema.json` beside this keeps it, and
`penstock pipeline schema` prints that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.model_steps import STEP_MODELS

#: Where the schema is kept; it is shipped with the package.
SCHEMA_FILE = Path(__file__).with_name("pipeline.schema.json")
#: A name and no address: nothing is fetched.
_ID = "urn:penstock:pipeline"


def pipeline_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of what a file may have."""
    schema = _tidied(Pipeline.model_json_schema())
    schema["$defs"]["Step"] = {
        "description": "What happens: exactly one of the keys that say so.",
        "oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in STEP_MODELS.values()],
    }
    schema["properties"] = {
        "$schema": {"type": "string", "description": "Where editors find this schema."},
        **schema["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID,
        **schema,
        "title": "Penstock pipeline",
        "description": "Several calls of tools and what happens between them.",
    }


def schema_text() -> str:
    """`pipeline_schema` as it is kept."""
    return orjson.dumps(pipeline_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _tidied(schema: Any) -> Any:
    """Without what only says that a key may be left out: files do not write null for it."""
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if len(schema.get("oneOf", ())) == len(STEP_MODELS):
        return {"$ref": "#/$defs/Step"}
    made = {
        key: _tidied(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)
    }
    if made.get("default", ...) is None:
        del made["default"]
    ways = made.get("anyOf")
    if isinstance(ways, list) and {"type": "null"} in ways and len(ways) == 2:
        del made["anyOf"]
        made = {**next(way for way in ways if way != {"type": "null"}), **made}
    return made


if __name__ == "__main__":
    sys.stdout.write(schema_text())
