"""Launches of kernels: the template instance, the grid, and the bytes of the argument.

Plain Python on addresses, shapes and strides, which can be tested without a GPU.
"""
