"""Pipelines for tests: toy tools, a reference interpreter of a hundred lines, and random pipelines."""
