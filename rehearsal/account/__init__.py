"""The emulated account as its users see it: sessions, authorization, inventory and recorded resources."""
