"""X2Face driven by sound: linear regression from an audio embedding to the driving code.

Source: Wiles et al. 2018, section on driving with audio.
"""
