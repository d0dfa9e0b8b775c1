"""Teaching a model to read memories: material, lessons, training, and the weights of its heads."""
