"""What a node can be: host, balancer, runner."""
