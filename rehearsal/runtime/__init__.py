"""Runs what the emulated account describes: databases, services and load balancers, on loopback addresses only."""
