"""Eyes: the ball under its lids, what stands for shut ones, and the white that was seen."""
