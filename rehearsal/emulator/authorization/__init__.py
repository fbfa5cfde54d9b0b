"""Authorization: every call in the emulated account is decided by the deployed policies, and logged."""
