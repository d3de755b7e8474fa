"""Public classes name the module that users import them from, also in pickles."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize("face", ["", ".dask", ".jax", ".keras", ".testing", ".torch"])
def test_public_classes_name_the_module_that_users_import(face):
    try:
        module = importlib.import_module(f"multisubnet{face}")
    except ImportError as error:
        pytest.skip(str(error))
    public = [getattr(module, name) for name in module.__all__]
    for cls in (x for x in public if isinstance(x, type)):
        assert cls.__module__ == module.__name__
