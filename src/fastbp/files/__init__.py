"""Model files: safetensors, read without trust and written whole or not at all. Nothing here is public."""
