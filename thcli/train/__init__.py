"""Training: dataset preparation, the shared training loop and one training task per model.

Only the modules that train import torch.
"""
