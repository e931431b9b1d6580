"""Everything that touches the world: one file for each way of doing it."""
