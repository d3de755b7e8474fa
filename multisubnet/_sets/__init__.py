"""WeightSets: the container, its predictions and their statistics, and conversion from models."""
