"""The data sets that cases train on, and one table of their names."""

from gradbench.registry import Entry, Registry

DATASETS = Registry(
    "data set",
    "gradbench.data",
    {
        "digits": Entry("gradbench.data.digits:load", "1,797 real handwritten digits, shipped with the package"),
        "cifar10": Entry("gradbench.data.cifar10:load", "CIFAR-10 through torchvision, downloaded once"),
        "npz": Entry("gradbench.data.npz:load", "a .npz file with x_train, y_train, x_test, y_test"),
        "synthetic": Entry("gradbench.data.synthetic:load", "random images with a learnable label, any size"),
    },
)
