"""The process that observes, plans, saves and publishes."""
