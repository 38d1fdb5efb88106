"""Reports, contact sheets and the demonstration."""
