"""Who a face is: our own small network, and what every backend's vectors are judged by."""
