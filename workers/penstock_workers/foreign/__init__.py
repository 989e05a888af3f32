"""Canvases of users' own apps: answers the tasks of `Producer.signature` (L-7)."""
