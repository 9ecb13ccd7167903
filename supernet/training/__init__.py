"""Training of supernets and subnets, and the quality of trained networks."""
