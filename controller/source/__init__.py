"""Reading desired state: a git mirror, a strict YAML loader, and the rules that hold between files."""
