"""Public classes name the module that users import them from, also in pickles."""

from __future__ import annotations

import importlib

import pytest

import multisubnet as ms


@pytest.mark.parametrize("face", ["", ".dask", ".jax", ".keras", ".testing", ".torch"])
def test_public_classes_name_the_module_that_users_import(face):
    try:
        module = importlib.import_module(f"multisubnet{face}")
    except ImportError as error:
        pytest.skip(str(error))
    public = [getattr(module, name) for name in module.__all__]
    for cls in (x for x in public if isinstance(x, type)):
        assert cls.__module__ == module.__name__


@pytest.mark.parametrize("name", ["dask", "jax", "keras", "torch"])
def test_modules_of_frameworks_are_attributes(name):
    pytest.importorskip(name)
    assert ms.__getattr__(name) is importlib.import_module(f"multisubnet.{name}")
