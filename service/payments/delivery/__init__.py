"""Sending to merchants' servers: which addresses may be called, and the signed POST itself."""
