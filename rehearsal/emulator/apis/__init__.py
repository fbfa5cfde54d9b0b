"""Operations of AWS APIs that the emulator lacks, answered in front of it."""
