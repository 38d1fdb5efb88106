"""Code that several engines share: motion rows, faster convolutions, network blocks."""
