"""The process on every node: it verifies, converges, probes and reports."""
