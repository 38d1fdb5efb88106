"""Published 3-D face models behind `core.protocols.FaceModel`: 3DDFA_V2, Deep3DFaceRecon and DECA.

Each is a network that reads a crop of its own and gives coefficients; none needs the licensed mesh (BFM, FLAME) that the
coefficients belong to. Our own model, which needs no such weights, is `motion.model3d`.
"""
