# Copyright 2026 the syncdiff authors
# SPDX-License-Identifier: Apache-2.0
"""Distributed training, on one machine or several: `torchrun --nproc-per-node N -m train.painter ...`. Without torchrun
all of this is a no-op. CUDA processes use NCCL and the GPU of their local rank, others gloo."""
import os

import numpy as np
import torch
import torch.distributed as dist


def device():
    """The device for the networks: "cuda" if available, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def start():
    """Joins the process group, if there is one. Returns this process's device."""
    if "RANK" in os.environ:
        dist.init_process_group("nccl" if device() == "cuda" else "gloo")
        if device() == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return device()


def seed(number):
    """Seeds PyTorch and returns a NumPy generator, both different in every process."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    torch.manual_seed(number + rank)
    return np.random.default_rng(number + rank)


def stop():
    if dist.is_initialized():
        dist.destroy_process_group()


def processes():
    return dist.get_world_size() if dist.is_initialized() else 1


def first():
    """Whether this process prints, validates and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(tensors):
    """Copies the first process's values to all processes."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor.data, 0)


def same(number, device):
    """Returns the first process's number in every process."""
    if not dist.is_initialized():
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    dist.broadcast(told, 0)
    return told.item()


def average(gradients):
    """Replaces each gradient by its mean over the processes, in a single message."""
    if dist.is_initialized():
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(mean.view_as(gradient))
