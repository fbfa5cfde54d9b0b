"""Those who move the money, behind one small interface."""
