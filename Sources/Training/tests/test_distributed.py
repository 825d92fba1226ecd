# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Two gloo processes: gradients are averaged, and both get the first one's weights and numbers."""
import os
import socket
import unittest

import numpy as np
import torch
import torch.multiprocessing as processes

from train import distributed


def member(rank, port, told):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.start()
    gradients = [torch.full((2, 3), float(rank)), torch.tensor([4.0, 8.0]) * rank]
    distributed.average(gradients)
    weights = torch.full((2, 3, 4, 4), 7.0 + rank).to(memory_format=torch.channels_last)
    distributed.share([weights])
    told.put((rank, distributed.processes(), distributed.first(), distributed.same(0.25 + rank, "cpu"),
              distributed.seed(0).random(), [g.tolist() for g in gradients], weights.unique().tolist()))
    distributed.stop()


class DistributedTests(unittest.TestCase):
    def test_two_processes_agree(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        told = processes.get_context("spawn").SimpleQueue()
        processes.spawn(member, (port, told), nprocs=2)
        mean = [[[0.5] * 3] * 2, [2.0, 4.0]]
        chance = [np.random.default_rng(number).random() for number in (0, 1)]  # each its own
        self.assertEqual(sorted(told.get() for _ in range(2)),
                         [(0, 2, True, 0.25, chance[0], mean, [7.0]), (1, 2, False, 0.25, chance[1], mean, [7.0])])

    def test_one_process_is_left_alone(self):
        gradients = [torch.ones(2)]
        distributed.average(gradients)
        self.assertEqual((gradients[0].tolist(), distributed.same(0.5, "cpu"), distributed.first()), ([1.0, 1.0], 0.5, True))


if __name__ == "__main__":
    unittest.main()
