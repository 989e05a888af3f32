"""How a plugin is built: sources to a core module, a core module to a component."""
