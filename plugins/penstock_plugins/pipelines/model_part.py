"""A table of a pipeline: read strictly, and written as it stands in a file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo

#: The context of validation of what was read from a document.
DOCUMENT = {"document": True}


class Part(BaseModel):
    """A table that refuses keys it does not know and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a file: keys with their default left out, so that equal parts give equal shapes."""
        return {
            name: _plain(value)
            for name, field in type(self).model_fields.items()
            if (value := getattr(self, name)) != field.default or self._always(name)
        }

    def _always(self, name: str) -> bool:
        """Whether a key is written although it has its default."""
        return type(self).model_fields[name].is_required()


def not_empty(value: Any, info: ValidationInfo) -> Any:
    """Refuse null for a key that may be left out: in a document it is one whose value was forgotten."""
    if value is None and info.context is DOCUMENT:
        raise ValueError("it is empty: write what it is, or leave the key out")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_dict()
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_defaults=True)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
