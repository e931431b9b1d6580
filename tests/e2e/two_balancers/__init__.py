"""Scenarios that share one fleet: four hosts behind two balancer nodes."""
