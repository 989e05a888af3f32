"""Real servers and workers for tests: each a child process on a free port, with files of its own."""
