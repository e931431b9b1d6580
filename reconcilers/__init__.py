"""What to do next, decided by pure functions: no input, no output, no clock, no randomness."""
