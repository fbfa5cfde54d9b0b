"""One rehearsal: bootstrap an emulated account, deploy the pipeline stack, run the pipeline, destroy everything."""
