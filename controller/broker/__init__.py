"""RabbitMQ's accounts: made to follow the ring of nodes, through the broker's management."""
