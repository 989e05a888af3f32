"""Native code of plugins: compiled once per host, authenticated, and lent to pool processes.

    server.ArtifactServer      in the worker's parent: prepares plugins, lends them over a socket
    client.ArtifactClient      in a pool process: asks for them
    local.LocalArtifacts       the same for a program that runs calls itself
    store.ArtifactStore        what is on the disk of this host
    fleet.Fleet                what other hosts compiled, if they have the same key
    compiler.compile_wasm      WebAssembly to native code, in a process that can be killed

Nothing here loads wasmtime, except the process that compiles. Nothing is imported here either: that
process needs only a part of it.
"""
