"""The demo: a whole fleet on one machine, made of real parts."""
