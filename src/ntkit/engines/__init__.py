"""How the kernel of a tile of examples is computed."""
