"""A file that is touched while a process is well: what a probe looks at, at no cost."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


class HeartbeatFile:
    """Touches the file, if there is one."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def beat(self) -> None:
        """The process is well."""
        if self._file is None:
            return
        try:
            self._file.touch()
        except OSError as error:
            logger.warning("The heartbeat file cannot be written: %s", error, extra={"action": "heartbeat"})
            self._file = None
