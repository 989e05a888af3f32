"""Native code of plugins: compiled once per host, authenticated, and lent to pool processes.

Nothing here loads wasmtime, except the process that compiles.
"""
