"""Model files: safetensors, validated when read and written atomically. Private."""
