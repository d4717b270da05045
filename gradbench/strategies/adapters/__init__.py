"""What others have published, as strategies: one small file a package, each the package's own code around a model's."""
