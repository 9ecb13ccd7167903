"""Training of supernets and subnets, and the quality of what was trained."""
