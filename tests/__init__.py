"""The tests, and under `support` what several of them need."""
