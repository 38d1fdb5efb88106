"""Faces in images and clips.

Detection, landmarks, tracking, crops, identity, parsing, compositing.
"""
