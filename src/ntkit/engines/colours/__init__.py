"""The engine of colours: kernels of graphs on the CPU, between nodes that the network can tell apart.

`engine.by_colours` runs it, and takes Numba along.
"""
