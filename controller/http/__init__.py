"""The controller's HTTP face: the API, health and metrics."""
