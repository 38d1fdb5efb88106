"""Texts and faces in one space: clip-s, our own small model of the words for faces, and OpenAI's CLIP where it is installed."""
