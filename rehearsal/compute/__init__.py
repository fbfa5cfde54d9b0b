"""Containers as processes: what ECS, RDS, ECR and the load balancer would run, on this machine and loopback only."""
