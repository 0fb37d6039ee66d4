"""Results as people read them: tables, charts, pictures, sound, one self-contained page."""
