"""WeightSets: the container, its predictions and their distribution, sets of trained models."""
