"""A data set that other processes can import, and that says which of them made a batch."""

import os

import numpy as np

from lamina.utils import PyDataset


class Numbered(PyDataset):
    """Each row of x is (the number of the process, how often `on_epoch_end` was called); y is zeros.

    failing: the number of a batch, counted over all passes, that cannot be made.
    """

    def __init__(self, failing=None):
        super().__init__(workers=1, use_multiprocessing=True)
        self.passes = 0
        self.failing = failing

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if 3 * self.passes + index == self.failing:
            raise ZeroDivisionError
        x = np.tile(np.array([os.getpid(), self.passes], "float64"), (4, 1))
        return x, np.zeros((4, 1), "float32")

    def on_epoch_end(self):
        self.passes += 1
