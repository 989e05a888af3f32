"""A table of a pipeline: read strictly, and written as it stands in a file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


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
