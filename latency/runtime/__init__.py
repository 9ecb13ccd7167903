"""OpenVINO: compile, run, convert, stitch, quantise. The only room that imports it."""
