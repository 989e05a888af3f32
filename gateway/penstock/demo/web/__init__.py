"""The demo's report as one HTML file: no scripts, nothing from the network, all text escaped."""
