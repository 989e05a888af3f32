"""Calls that killed their workers, run again on a laptop: the file of one, and the process that runs it."""
