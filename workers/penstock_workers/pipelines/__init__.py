"""Pipelines on workers: answers the doorbells that say which stage of which flow to look at."""
