"""CloudFormation handlers for types that the emulator lacks, and checks around the handlers of all types."""
