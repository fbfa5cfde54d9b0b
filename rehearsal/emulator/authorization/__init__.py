"""Who may do what in the emulated account: every call is decided by the deployed policies, and remembered."""
