"""What payments are divided by: frozen scripts on a frozen schema, so that no improvement moves its own yardstick."""
