"""The figures in the README, measured anew: ``make bench``."""
