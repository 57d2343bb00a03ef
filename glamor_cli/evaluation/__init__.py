"""How good a network is, and where it looks."""
