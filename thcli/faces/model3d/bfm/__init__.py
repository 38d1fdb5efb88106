"""Basel Face Model 2009 with expressions: shapes, camera, rasteriser and fitting.

It is the face model of Deep3DFaceRecon and Real3D-Portrait: 35,709 vertices, 80 coefficients of
identity and 64 of expression, in decimetres.
"""
