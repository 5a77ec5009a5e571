"""The real games: specs, emulator, palette, readers, and the interface that neural games share."""
