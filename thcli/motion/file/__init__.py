"""Motion files (`*.motion.safetensors`): format, reader and writer; motion in memory."""
