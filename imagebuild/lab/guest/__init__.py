"""The lab's stand-in Windows guest: its disk image, its media, and the program that plays Windows in it."""
