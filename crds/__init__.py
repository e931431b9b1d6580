"""What can be said: every resource that operators write and every message that nodes exchange."""
