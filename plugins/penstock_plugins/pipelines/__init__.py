"""Pipelines: several calls as data, checked and evaluated. Knows no queue and no sandbox."""
