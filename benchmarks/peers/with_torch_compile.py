"""PyTorch with torch.compile around forward and loss."""

import torch

from benchmarks.peers.with_torch import Eager


def start(problem, threads):
    peer = Eager(problem, threads)
    peer.forward = torch.compile(peer.net)
    peer.objective = torch.compile(peer.objective)
    return peer
