"""What every other room may import: settings and problems."""
