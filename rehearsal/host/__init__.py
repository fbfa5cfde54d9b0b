"""Processes, certificates and sockets of the machine."""
