"""Things drawn on faces, pinned to their 468 points and a parser's regions: glasses, beards, make-up, the colour of hair and skin.

It learns nothing and needs no weights: free for any use. What is drawn takes its colours, its light and its sharpness from the face.
"""
