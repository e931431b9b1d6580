"""Scenarios that share one fleet whose messages travel over RabbitMQ: four hosts behind one balancer node."""
