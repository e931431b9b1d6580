"""What one decision costs in fleets of any size: production world and plan, without agents, store and bus."""
