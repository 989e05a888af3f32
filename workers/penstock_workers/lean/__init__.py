"""The lean path: a call through wasmtime's C functions with as little Python in between as there can be.

`library` binds the functions and knows the layout of the values that it touches; `guest` is one call;
`self_test` compares it with wasmtime's Python API before it is used. For one version of wasmtime only:
`penstock_workers.paths` decides.
"""
