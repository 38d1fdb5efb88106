"""Joint text and face models: clip-s, our own small one, and OpenAI's CLIP."""
