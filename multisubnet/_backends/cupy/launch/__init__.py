"""How kernels are launched: which instance, on which grid, with which bytes as its argument.

Plain Python on addresses, shapes and strides, so that it is tested where there is no GPU.
"""
