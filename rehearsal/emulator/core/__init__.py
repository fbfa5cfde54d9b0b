"""What every part of the emulator builds on: ministack, resource schemas and the container runtime's client."""
