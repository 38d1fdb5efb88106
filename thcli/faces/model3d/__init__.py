"""Published 3-D face models behind `core.protocols.FaceModel`: 3DDFA_V2, Deep3DFaceRecon and DECA.

Each network reads a crop of its own and returns coefficients. None needs the licensed mesh (BFM,
FLAME) of its coefficients. Our own model, `motion.model3d`, needs no weights.
"""
