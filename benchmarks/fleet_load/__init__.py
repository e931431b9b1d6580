"""A controller as it is run in production, a real broker, and a thousand simulated nodes."""
