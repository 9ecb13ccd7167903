"""OpenVINO: compile, run, convert, stitch and quantise networks. Only this package imports it."""
