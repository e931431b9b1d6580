"""A fleet of one whose node pins roots."""
