"""Tools of integrators, which use nothing but the public API: `payments listen` and `payments trigger`."""
