"""API operations that the emulator lacks, as ASGI applications in front of it."""
