"""The payment API: at most one charge whatever crashes, nothing guessed, money conserved by construction."""
