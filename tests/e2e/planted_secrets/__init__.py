"""A fleet whose services need secrets."""
